//! Keeps a data directory from everybody but its owner. Must not know which files are in it.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use tracing::{debug, warn};

/// Everything that group and others may do with a file.
const OTHERS: u32 = 0o077;
/// Folders in folders that are looked into; a store has two.
const DEPTH_MAX: usize = 8;

/// What is to be done about a directory.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// Nobody else gets in.
    Private,
    /// Others do, and this user may change that.
    Open,
    /// Others do, and it is another user's.
    OpenAndForeign,
}

/// A directory that others get into, and that this user cannot close to them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exposed {
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) user: u32,
}

/// Takes a directory, and what is in it, from everybody but its owner. One that only its owner gets into stays as it is, because
/// nobody else reaches what is in it.
pub(crate) fn close_to_others(path: &Path) -> io::Result<Result<(), Exposed>> {
    let metadata = fs::metadata(path)?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    let user = rustix::process::geteuid().as_raw();
    match judge(mode, owner, user) {
        Finding::Private => return Ok(Ok(())),
        Finding::OpenAndForeign => return Ok(Err(Exposed { mode, owner, user })),
        Finding::Open => {}
    }
    // First the directory, so that nobody exchanges a file in it meanwhile.
    take_from_others(path, &metadata)?;
    let files = close_entries(path, DEPTH_MAX);
    warn!(
        directory = %path.display(),
        mode = format!("{mode:04o}"),
        files,
        "the data directory was open to other users and is its owner's alone from here on; copies of it may have been made"
    );
    Ok(Ok(()))
}

fn judge(mode: u32, owner: u32, user: u32) -> Finding {
    let may_change = owner == user || user == 0;
    match (mode & OTHERS, may_change) {
        (0, _) => Finding::Private,
        (_, true) => Finding::Open,
        (_, false) => Finding::OpenAndForeign,
    }
}

fn take_from_others(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let mode = metadata.mode() & 0o7777 & !OTHERS;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The same for everything in a directory; how many were open. What cannot be changed nobody else reaches either, because the
/// directory around it is closed.
fn close_entries(path: &Path, depth: usize) -> usize {
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    let mut closed = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        // Of a symbolic link itself: where it leads is not ours to change.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_symlink() {
            continue;
        }
        if metadata.mode() & OTHERS != 0 {
            match take_from_others(&path, &metadata) {
                Ok(()) => closed += 1,
                Err(error) => debug!(file = %path.display(), %error, "stays as it is"),
            }
        }
        if metadata.is_dir() && depth > 0 {
            closed += close_entries(&path, depth - 1);
        }
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_open_if_anybody_but_its_owner_may_do_anything() {
        for mode in [0o700, 0o500, 0o4700] {
            assert_eq!(judge(mode, 1, 2), Finding::Private, "{mode:o}");
        }
        for mode in [0o755, 0o750, 0o701, 0o770, 0o2775] {
            assert_eq!(judge(mode, 1, 1), Finding::Open, "{mode:o}");
            assert_eq!(judge(mode, 1, 0), Finding::Open, "{mode:o}");
            assert_eq!(judge(mode, 1, 2), Finding::OpenAndForeign, "{mode:o}");
        }
    }

    #[test]
    fn what_is_in_an_open_directory_is_closed_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        let data = folder.path().join("data");
        let nested = data.join("store/tables");
        fs::create_dir_all(&nested).unwrap();
        let identity = data.join("identity");
        let table = nested.join("1.table");
        for file in [&outside, &identity, &table] {
            fs::write(file, "").unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        std::os::unix::fs::symlink(&outside, data.join("link")).unwrap();
        for directory in [&data, &data.join("store"), &nested] {
            fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(close_to_others(&data).unwrap(), Ok(()));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        for directory in [&data, &data.join("store"), &nested] {
            assert_eq!(mode(directory), 0o700, "{directory:?}");
        }
        for file in [&identity, &table] {
            assert_eq!(mode(file), 0o600, "{file:?}");
        }
        assert_eq!(mode(&outside), 0o644);
    }
}
