//! The list of accounts, searched and in pages. It reads the directory in small pieces, so that no login waits for a long
//! search, and looks at a bounded number of accounts for one page.

use std::time::{Duration, Instant};

use super::Logins;
use super::directory::{Directory, Known, Tables};
use crate::clock::Clock;
use crate::handle::{
    AccountDirectory, AccountInfo, AccountPage, AccountQuery, RequestError, Secret, Which,
};

/// Accounts that are looked at for one page: some milliseconds of a thread that answers HTTP.
const EXAMINED_MAX: usize = 10_000;
/// Of them, without letting a change of the directory in between.
const EXAMINED_AT_ONCE: usize = 256;

impl AccountDirectory for Logins {
    fn is_empty(&self) -> bool {
        self.directory.is_empty()
    }

    fn authenticate(&self, token: &Secret) -> Result<AccountInfo, RequestError> {
        let known = self.token(token, Clock::new().now());
        known
            .and_then(|known| known.info())
            .ok_or(RequestError::BadToken)
    }

    fn admit_list(&self, account: &str) -> Result<(), RequestError> {
        let known = self
            .directory
            .by_name(account)
            .ok_or(RequestError::BadToken)?;
        if self.lists.admit(known.id(), Instant::now()) {
            return Ok(());
        }
        self.refused_lists.increment(1);
        let retry_after = Duration::from_secs(1);
        Err(RequestError::TooOften { retry_after })
    }

    fn account(&self, name: &str) -> Option<AccountInfo> {
        self.directory.by_name(name)?.info()
    }

    fn page(&self, query: &AccountQuery) -> AccountPage {
        self.directory.page(query)
    }
}

impl Directory {
    /// A part of the list of accounts.
    pub(crate) fn page(&self, query: &AccountQuery) -> AccountPage {
        let mut page = AccountPage {
            accounts: Vec::new(),
            next: query.after.clone(),
        };
        for _ in 0..EXAMINED_MAX / EXAMINED_AT_ONCE {
            page.extend(&self.read(), query);
            if page.next.is_none() || page.accounts.len() == query.limit {
                break;
            }
        }
        page
    }
}

impl AccountPage {
    /// Goes on behind `next` with what fits, up to the limit and [`EXAMINED_AT_ONCE`].
    fn extend(&mut self, tables: &Tables, query: &AccountQuery) {
        let mut behind = tables.behind(self.next.as_deref());
        let mut last = None;
        for known in behind.by_ref().take(EXAMINED_AT_ONCE) {
            last = Some(known);
            if query.fits(known) {
                self.accounts.extend(known.info());
                if self.accounts.len() == query.limit {
                    break;
                }
            }
        }
        let more = behind.next().is_some();
        self.next = last.filter(|_| more).map(|known| known.name().to_owned());
    }
}

impl AccountQuery {
    fn fits(&self, known: &Known) -> bool {
        let wanted = match self.which {
            Which::All => true,
            Which::Enabled => known.may_log_in(),
        };
        let found = || {
            self.search.is_empty()
                || has_word(known.name(), &self.search)
                || has_word(known.display(), &self.search)
        };
        wanted && !known.is_removed() && found()
    }
}

/// Whether the text, or a word in it, begins with what is searched for, which is in lower case and may go on behind the word.
fn has_word(text: &str, search: &[char]) -> bool {
    let mut in_word = false;
    text.char_indices().any(|(at, letter)| {
        let was_in_word = std::mem::replace(&mut in_word, letter.is_alphanumeric());
        (at == 0 || in_word && !was_in_word) && begins_with(&text[at..], search)
    })
}

fn begins_with(text: &str, search: &[char]) -> bool {
    let mut letters = text.chars().flat_map(char::to_lowercase);
    search.iter().all(|wanted| letters.next() == Some(*wanted))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use chat::CredentialsChange;
    use records::{Account, AccountId, AccountName};

    fn add(directory: &Directory, number: u64, account: Account) {
        let id = AccountId::new(number);
        directory.change(CredentialsChange::Account { id, account });
    }

    fn account(name: &str, display: &str) -> Account {
        Account {
            name: AccountName::parse(name).unwrap(),
            display: display.to_owned(),
            ..crate::logins::pool::nobody()
        }
    }

    fn open(name: &str, display: &str) -> Account {
        Account {
            disabled: false,
            removed: false,
            ..account(name, display)
        }
    }

    fn names(page: &AccountPage) -> Vec<&str> {
        page.accounts.iter().map(|one| one.name.as_str()).collect()
    }

    fn query(search: &str) -> AccountQuery {
        AccountQuery::default().search(search).unwrap()
    }

    #[test]
    fn accounts_are_found_by_the_beginnings_of_words_in_whatever_case() {
        let directory = Directory::default();
        for (number, (name, display)) in [
            ("minsu.kim", "김민수"),
            ("bob", "Bob Émile (Sales)"),
            ("abby", "ABBY \u{c724}\u{c544}"),
        ]
        .into_iter()
        .enumerate()
        {
            add(&directory, number as u64, open(name, display));
        }
        for (search, expected) in [
            ("", &["abby", "bob", "minsu.kim"][..]),
            ("  ", &["abby", "bob", "minsu.kim"]),
            ("b", &["bob"]),
            ("AB", &["abby"]),
            ("abby 윤", &["abby"]),
            // Written in another normal form than it is kept in.
            ("\u{110b}\u{1172}\u{11ab}", &["abby"]),
            ("김민", &["minsu.kim"]),
            ("민수", &[]),
            ("kim", &["minsu.kim"]),
            ("émi", &["bob"]),
            ("e\u{301}mile", &["bob"]),
            ("sales", &["bob"]),
            ("(sales", &[]),
            ("bob émile (sales)", &["bob"]),
            ("bob émile (sales)!", &[]),
        ] {
            assert_eq!(names(&directory.page(&query(search))), expected, "{search}");
        }
    }

    #[test]
    fn pages_go_on_behind_a_name_and_leave_out_who_is_not_to_be_seen() {
        let directory = Directory::default();
        for number in 0..1000 {
            let mut account = open(&format!("a{number:03}"), "Somebody");
            account.disabled = number % 10 == 1;
            account.removed = number % 10 == 2;
            add(&directory, number, account);
        }
        let walk = |which, limit| {
            let mut all = Vec::new();
            let mut query = AccountQuery::default().which(which).limit(limit).unwrap();
            loop {
                let page = directory.page(&query);
                assert!(page.accounts.len() <= limit);
                all.extend(names(&page).into_iter().map(str::to_owned));
                match page.next {
                    Some(next) => query = query.after(&next).unwrap(),
                    None => return all,
                }
            }
        };
        let all = walk(Which::All, 7);
        assert_eq!(all.len(), 900);
        assert!(all.is_sorted());
        assert_eq!(walk(Which::Enabled, 200).len(), 800);
        // The name need not be there, and what is behind the last is nothing.
        let behind = |name| directory.page(&AccountQuery::default().after(name).unwrap());
        assert_eq!(behind("a9979").accounts[0].name, "a998");
        assert_eq!(behind("a999"), AccountPage::default());
    }

    #[test]
    fn a_page_costs_a_bounded_number_of_looks() {
        let directory = Directory::default();
        let many = EXAMINED_MAX + 10;
        for number in 0..many {
            add(
                &directory,
                number as u64,
                open(&format!("a{number:06}"), "Somebody"),
            );
        }
        add(&directory, many as u64, open("z", "Zoe"));
        let first = directory.page(&query("zoe"));
        assert!(first.accounts.is_empty());
        let next = first.next.unwrap();
        assert!(next.as_str() > "a009" && next.as_str() < "a010", "{next}");
        let last = directory.page(&query("zoe").after(&next).unwrap());
        assert_eq!((names(&last), last.next.clone()), (vec!["z"], None));
    }

    #[test]
    fn what_is_asked_for_is_bounded() {
        let query = AccountQuery::default;
        assert!(query().search(&"x".repeat(257)).is_err());
        assert!(query().after(&"x".repeat(65)).is_err());
        assert!(query().limit(0).is_err() && query().limit(201).is_err());
        assert!(query().limit(200).is_ok());
    }
}
