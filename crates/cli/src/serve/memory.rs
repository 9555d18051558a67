//! One setting of the C library's allocator, made before anything large is allocated.

/// Blocks of this many bytes and more come from the system and go back to it when they are freed. Not far above glibc's own
/// 128 KiB: the tables of connections and sessions grow by moving, and below this they would leave holes of their former
/// sizes behind (2 MiB with 4 MiB here).
const GIVEN_BACK_FROM: libc::c_int = 256 * 1024;

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
