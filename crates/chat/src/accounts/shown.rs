//! What people see of an account.

use records::Account;

/// What people see of an account; shared by what is read for them elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) name: Box<str>,
    pub(crate) display: Box<str>,
}

impl Shown {
    pub(crate) fn of(record: &Account) -> Self {
        Self {
            name: record.name.as_str().into(),
            display: record.display.as_str().into(),
        }
    }
}
