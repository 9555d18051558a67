//! Who there is, as HTTP and the command line read it without asking the service thread: a flood of such questions must not slow the
//! messenger.

use std::sync::{Arc, OnceLock};

use super::{AccountInfo, AccountPage, AccountQuery, RequestError, Secret};

/// The accounts and tokens of a running server, read where they are kept. Waits for no thread.
pub trait AccountDirectory: Send + Sync {
    /// Whether no account has ever been made.
    fn is_empty(&self) -> bool;

    /// Whose token this is.
    fn authenticate(&self, token: &Secret) -> Result<AccountInfo, RequestError>;

    /// Counts a page that this account asks for, unless it is one too many.
    fn admit_list(&self, account: &str) -> Result<(), RequestError>;

    /// The account of this name.
    fn account(&self, name: &str) -> Option<AccountInfo>;

    /// A part of the list.
    fn page(&self, query: &AccountQuery) -> AccountPage;
}

/// Where the directory is. Clones share it.
#[derive(Clone, Default)]
pub(super) struct DirectoryAccess {
    directory: Arc<OnceLock<Arc<dyn AccountDirectory>>>,
}

impl DirectoryAccess {
    pub(super) fn attach(&self, directory: Arc<dyn AccountDirectory>) {
        // There is one for the server's whole life.
        let _ = self.directory.set(directory);
    }

    pub(super) fn directory(&self) -> Result<&dyn AccountDirectory, RequestError> {
        let directory = self.directory.get().ok_or(RequestError::Starting)?;
        Ok(&**directory)
    }
}
