//! The other end of `serving`: asks a running server for its store's files, a check, or statistics. Blocks.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use store::{
    BackupError, BackupSource, Finding, ImageHeader, PIECE_BYTES, Progress, TakePiece,
    Verification, VerifyEvent,
};

use super::groups::{self, GroupEntry};
use super::serving::{
    AuditEntry, DONE, StorageAnswer, StorageCommand, StoreReport, Wanted, read_line,
};

/// How long the server may say nothing while it works.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// What came of asking.
pub(crate) type Asked<T> = io::Result<Option<Result<T, String>>>;

struct Exchange {
    lines: BufReader<UnixStream>,
}

impl Exchange {
    /// `None` if no server runs.
    fn begin(data: &Path, command: StorageCommand) -> io::Result<Option<Self>> {
        let Some(mut stream) = super::connect(data)? else {
            return Ok(None);
        };
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut line = serde_json::to_vec(&command)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        Ok(Some(Self {
            lines: BufReader::with_capacity(PIECE_BYTES, stream),
        }))
    }

    fn answer(&mut self) -> io::Result<StorageAnswer> {
        read_line(&mut (&mut self.lines).take(super::ANSWER_BYTES_MAX))
    }
}

fn unexpected<T>() -> io::Result<T> {
    let message = "the server answered something else than it was asked";
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// Statistics of the store that the server on `data` has open; `None` if none runs.
pub(crate) fn report(data: &Path) -> Asked<StoreReport> {
    let Some(mut exchange) = Exchange::begin(data, StorageCommand::Store)? else {
        return Ok(None);
    };
    match exchange.answer()? {
        StorageAnswer::Report { report } => Ok(Some(Ok(*report))),
        StorageAnswer::Refused { detail, .. } => Ok(Some(Err(detail))),
        _ => unexpected(),
    }
}

/// The latest changes that the server on `data` knows of, the oldest of them first; `None` if none runs.
pub(crate) fn audit(data: &Path, limit: u32) -> Asked<Vec<AuditEntry>> {
    let Some(mut exchange) = Exchange::begin(data, StorageCommand::Audit { limit })? else {
        return Ok(None);
    };
    match exchange.answer()? {
        StorageAnswer::Audit { entries } => Ok(Some(Ok(entries))),
        StorageAnswer::Refused { detail, .. } => Ok(Some(Err(detail))),
        _ => unexpected(),
    }
}

/// All groups of the server on `data`; `None` if none runs.
pub(crate) fn groups(data: &Path) -> Asked<Vec<GroupEntry>> {
    let mut running = false;
    let groups = groups::collect(|after| {
        let Some(mut exchange) =
            Exchange::begin(data, StorageCommand::Groups { after }).map_err(Unlisted::Broken)?
        else {
            return Err(Unlisted::NotRunning);
        };
        running = true;
        match exchange.answer().map_err(Unlisted::Broken)? {
            StorageAnswer::Groups { page } => Ok(page),
            StorageAnswer::Refused { detail, .. } => Err(Unlisted::Refused(detail)),
            _ => unexpected().map_err(Unlisted::Broken),
        }
    });
    match groups {
        Ok(groups) => Ok(Some(Ok(groups))),
        Err(Unlisted::NotRunning) if running => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(Unlisted::NotRunning) => Ok(None),
        Err(Unlisted::Refused(detail)) => Ok(Some(Err(detail))),
        Err(Unlisted::Broken(error)) => Err(error),
    }
}

/// Why a page of groups did not come.
enum Unlisted {
    NotRunning,
    Refused(String),
    Broken(io::Error),
}

/// Lets the server on `data` verify its store; `None` if none runs.
pub(crate) fn verify(data: &Path, told: &mut dyn FnMut(VerifyEvent)) -> Asked<Verification> {
    let Some(mut exchange) = Exchange::begin(data, StorageCommand::Verify)? else {
        return Ok(None);
    };
    loop {
        match exchange.answer()? {
            StorageAnswer::Progress { done, total } => {
                told(VerifyEvent::Progress(Progress { done, total }));
            }
            StorageAnswer::Finding { what } => told(VerifyEvent::Finding(Finding { what })),
            StorageAnswer::Verified { verification } => return Ok(Some(Ok(verification))),
            StorageAnswer::Refused { detail, .. } => return Ok(Some(Err(detail))),
            StorageAnswer::Image { .. }
            | StorageAnswer::Report { .. }
            | StorageAnswer::Groups { .. }
            | StorageAnswer::Audit { .. } => return unexpected(),
        }
    }
}

/// The image of the store that the server on `data` has open; `None` if none runs.
pub(crate) fn back_up(data: &Path) -> Asked<RemoteImage> {
    let Some(mut exchange) = Exchange::begin(data, StorageCommand::Backup)? else {
        return Ok(None);
    };
    match exchange.answer()? {
        StorageAnswer::Image { header } => Ok(Some(Ok(RemoteImage { header, exchange }))),
        StorageAnswer::Refused { detail, .. } => Ok(Some(Err(detail))),
        _ => unexpected(),
    }
}

/// The files of a running server's store at one commit, which stay until this is dropped.
pub(crate) struct RemoteImage {
    header: ImageHeader,
    exchange: Exchange,
}

impl RemoteImage {
    /// Tells the server that the backup is complete.
    pub(crate) fn done(mut self) {
        // It is complete whether the server hears of it or not.
        let _ = writeln!(self.exchange.lines.get_mut(), "{DONE}");
    }

    fn receive(&mut self, wanted: &[usize], take: &mut TakePiece<'_>) -> Result<(), BackupError> {
        let mut line = serde_json::to_vec(&Wanted {
            wanted: wanted.to_vec(),
        })
        .map_err(io::Error::from)?;
        line.push(b'\n');
        self.exchange.lines.get_mut().write_all(&line)?;
        let mut piece = vec![0; PIECE_BYTES];
        for &file in wanted {
            let mut left = self.header.files[file].bytes;
            while left > 0 {
                let length = self.frame(left)?;
                self.exchange.lines.read_exact(&mut piece[..length])?;
                take(file, &piece[..length])?;
                left -= length as u64;
            }
        }
        Ok(())
    }

    /// The length of the next frame of a file of which so much is missing.
    fn frame(&mut self, left: u64) -> Result<usize, BackupError> {
        let mut length = [0; 4];
        self.exchange.lines.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 {
            return match self.exchange.answer()? {
                StorageAnswer::Refused { detail, .. } => Err(BackupError::Source(detail)),
                _ => Err(BackupError::from(io::Error::from(
                    io::ErrorKind::InvalidData,
                ))),
            };
        }
        if length > PIECE_BYTES || length as u64 > left {
            return Err(BackupError::from(io::Error::from(
                io::ErrorKind::InvalidData,
            )));
        }
        Ok(length)
    }
}

impl BackupSource for RemoteImage {
    fn header(&self) -> &ImageHeader {
        &self.header
    }

    fn copy(&mut self, wanted: &[usize], take: &mut TakePiece<'_>) -> Result<(), BackupError> {
        match self.receive(wanted, take) {
            // What cannot be read here is the connection.
            Err(BackupError::Source(detail)) => Err(BackupError::Source(format!(
                "the server has broken off the backup: {detail}"
            ))),
            other => other,
        }
    }
}
