//! What the C library's allocator keeps, and what it gives back to the system.

use std::time::Duration;

use server::process;

/// Blocks of this many bytes and more come from the system and go back to it when they are freed. Not far above glibc's own
/// 128 KiB: the tables of connections and sessions grow by moving, and below this they would leave holes of their former
/// sizes behind (2 MiB with 4 MiB here).
const GIVEN_BACK_FROM: libc::c_int = 256 * 1024;

/// How often resident memory is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Below this nothing is done: the allocator keeps little then, whatever it keeps.
const RESIDENT_MIN_BYTES: u64 = 16 * 1024 * 1024;

/// Keeps glibc from keeping the 19 MiB that each password check takes: left to itself it raises this threshold beyond
/// them at the first one, and then holds several per thread for ever. Measured: 264 MB resident after fifty logins, and
/// 11 MB with this.
pub(super) fn give_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: sets a number inside the allocator, which is allowed at any time; no other thread runs yet.
    #[allow(unsafe_code, reason = "there is no safe way to reach the allocator")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, GIVEN_BACK_FROM);
    }
}

/// Has the allocator give back the pages that a burst has left free, which glibc by itself does only at the end of its heaps. A
/// thread of its own does it, as freeing hundreds of megabytes takes tenths of a second.
pub(super) fn give_back_after_bursts() -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("memory".to_owned())
        .spawn(|| {
            let mut trims = Trims::default();
            loop {
                std::thread::sleep(LOOK);
                let Some((resident, _)) = process::resident_bytes() else {
                    return;
                };
                if trims.is_due(resident) {
                    trim();
                    trims.done(process::resident_bytes().map_or(resident, |(left, _)| left));
                }
            }
        })
        .map(drop)
}

/// When it is worth it.
#[derive(Debug, Default)]
struct Trims {
    /// Resident memory at the last look.
    before: u64,
    /// Resident memory behind the last one.
    left: u64,
}

impl Trims {
    /// What was taken since the last time, an eighth or more, is taken no longer: a burst is over, or pauses.
    fn is_due(&mut self, resident: u64) -> bool {
        let before = std::mem::replace(&mut self.before, resident);
        let grows = resident > before + before / 64;
        let has_grown = resident > self.left + self.left / 8;
        resident >= RESIDENT_MIN_BYTES && has_grown && !grows
    }

    fn done(&mut self, resident: u64) {
        self.left = resident;
        self.before = resident;
    }
}

fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes the allocator's own locks, and is allowed at any time on any thread.
    #[allow(unsafe_code, reason = "there is no safe way to reach the allocator")]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_when_a_burst_pauses_and_not_again_for_what_is_held() {
        const MIB: u64 = 1024 * 1024;
        let mut trims = Trims::default();
        let mut looks = |resident: &[u64]| -> Vec<bool> {
            let look = |resident: &u64| {
                let due = trims.is_due(resident * MIB);
                if due {
                    // Of the burst a quarter is really held.
                    trims.done(resident * MIB / 4);
                }
                due
            };
            resident.iter().map(look).collect()
        };
        assert_eq!(looks(&[10, 11, 10]), [false; 3], "too little");
        assert_eq!(looks(&[100, 200, 300]), [false; 3], "the burst goes on");
        assert_eq!(looks(&[300]), [true]);
        assert_eq!(looks(&[75, 76, 75]), [false; 3], "that is held");
        assert_eq!(looks(&[120, 121]), [false, true], "another one");
    }

    #[test]
    fn the_system_says_how_much_is_resident() {
        let (resident, _) = process::resident_bytes().expect("Linux says");
        assert!(
            (1_000_000..100_000_000_000).contains(&resident),
            "{resident}"
        );
        trim();
    }
}
