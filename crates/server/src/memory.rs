//! How the C library's allocator is told to give memory back. Nothing else about memory stands here.

/// Allocations from here on go to the operating system and back to it at once. Glibc moves its own threshold up to the
/// largest block that was ever freed, and then keeps what argon2 takes (19 MiB) in the heap of each thread that ran it:
/// six logins left 116 MiB behind.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const DIRECT_BYTES: libc::c_int = 1024 * 1024;

/// To be called once, before the threads are made.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub(crate) fn give_back_large_blocks() {
    // SAFETY: mallopt takes two numbers and may be called at any time; it has no other effect than on later allocations.
    let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, DIRECT_BYTES) };
    if taken == 0 {
        tracing::debug!("the allocator keeps its own threshold");
    }
}

/// Other allocators give large blocks back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_large_blocks() {}
