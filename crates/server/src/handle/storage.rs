//! What the control socket may do with the store. It must not keep the store from ending with the server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use store::EmbeddedStore;

/// Access to the store of a running server. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct StorageAccess {
    store: Arc<OnceLock<Weak<EmbeddedStore>>>,
    backing_up: Arc<AtomicBool>,
    verifying: Arc<AtomicBool>,
}

/// The right to do something that nobody else does meanwhile.
#[derive(Debug)]
pub(super) struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl StorageAccess {
    pub(super) fn attach(&self, store: Weak<EmbeddedStore>) {
        // There is one for the server's whole life.
        let _ = self.store.set(store);
    }

    /// The store; `None` while the server begins or ends.
    pub(super) fn store(&self) -> Option<Arc<EmbeddedStore>> {
        self.store.get().and_then(Weak::upgrade)
    }

    /// `None` while another backup is made.
    pub(super) fn backup_turn(&self) -> Option<Turn> {
        take(&self.backing_up)
    }

    /// `None` while somebody else verifies.
    pub(super) fn verify_turn(&self) -> Option<Turn> {
        take(&self.verifying)
    }
}

fn take(busy: &Arc<AtomicBool>) -> Option<Turn> {
    let was_busy = busy.swap(true, Ordering::Acquire);
    (!was_busy).then(|| Turn(busy.clone()))
}
