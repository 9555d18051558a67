//! Making, changing and ending accounts and tokens. Secrets come in hashed; passwords are checked elsewhere.

use records::{Account, AccountId, AccountName, Millis, Role, ScramVerifier, Token, key};

use crate::accounts::{Accounts, Batch, Effect};
use crate::command::CommandId;
use crate::format::names;
use crate::io::{
    AccountAnswer, AccountCommand, AccountError, CredentialsChange, HashedPassword, Output,
    RequestId,
};
use crate::stored::source::Source;

/// Bytes of a token's label; a longer one is cut.
const LABEL_BYTES_MAX: usize = 256;

/// What an account says of itself from here on.
#[derive(Debug)]
pub(crate) struct ProfileChange {
    pub(crate) id: CommandId,
    pub(crate) account: AccountId,
    pub(crate) display: Option<String>,
    pub(crate) text: Option<String>,
    /// Whether people see another name; known once it was carried out.
    pub(crate) renamed: bool,
    /// Whether anything is different at all.
    pub(crate) changed: bool,
}

impl Accounts {
    /// Carries out a command and answers it once it is on disk.
    pub(crate) fn command(
        &mut self,
        request: RequestId,
        command: AccountCommand,
        source: &dyn Source,
        now: Millis,
    ) {
        let mut batch = Batch::default();
        let outcome = match command {
            AccountCommand::Add {
                name,
                display,
                role,
                password,
                first,
                similar,
            } => self
                .check_name(&name, first, similar)
                .and_then(|name| self.add_account(name, &display, role, password, &mut batch, now)),
            AccountCommand::SetPassword { name, password } => {
                self.set_password(&name, password, &mut batch)
            }
            AccountCommand::KeepVerifier {
                account,
                argon2,
                scram,
            } => {
                self.keep_verifier(account, &argon2, scram, &mut batch);
                Ok(AccountAnswer::Done)
            }
            AccountCommand::SetDisabled { name, disabled } => {
                self.set_disabled(&name, disabled, &mut batch)
            }
            AccountCommand::Remove { name } => self.remove_account(&name, &mut batch),
            AccountCommand::AddToken {
                account,
                sha256,
                label,
                expires,
            } => self.add_token(account, sha256, &label, expires, &mut batch, now),
            AccountCommand::RevokeToken { sha256 } => {
                self.revoke_token(&sha256, &mut batch);
                Ok(AccountAnswer::Done)
            }
            AccountCommand::RenewToken { sha256, expires } => {
                self.renew_token(sha256, expires, source, &mut batch);
                Ok(AccountAnswer::Done)
            }
        };
        batch.tell(Output::Answered { request, outcome });
        self.commit(batch);
    }

    /// Changes what an account says of itself; comes back once it is on disk.
    pub(crate) fn set_profile(&mut self, mut change: ProfileChange) {
        let mut batch = Batch::default();
        if let Some(record) = self.find(change.account) {
            let display = change.display.take().unwrap_or(record.display.clone());
            let text = change.text.take().unwrap_or(record.profile_text.clone());
            change.renamed = display != record.display;
            change.changed = change.renamed || text != record.profile_text;
            if change.changed {
                self.directory.set_profile(change.account, display, text);
                self.put_account(change.account, &mut batch);
            }
        }
        batch.effects.push(Effect::Profiled(change));
        self.commit(batch);
    }

    /// Whether a new account may have this name; with `similar` even if it looks like another's.
    fn check_name(
        &self,
        name: &str,
        first: bool,
        similar: bool,
    ) -> Result<AccountName, AccountError> {
        if first && !self.directory.is_empty() {
            return Err(AccountError::SetupDone);
        }
        let parsed =
            AccountName::parse(name).map_err(|error| AccountError::Invalid(error.to_string()))?;
        if self.directory.is_taken(name) {
            return Err(AccountError::Exists(name.to_owned()));
        }
        match self.directory.lookalike(name) {
            Some(other) if !similar => Err(AccountError::Similar {
                name: name.to_owned(),
                other: other.to_owned(),
            }),
            Some(_) | None => Ok(parsed),
        }
    }

    fn add_account(
        &mut self,
        name: AccountName,
        display: &str,
        role: Role,
        password: Option<HashedPassword>,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<AccountAnswer, AccountError> {
        let most = self.settings.accounts_max;
        if self.directory.len() >= most {
            let sentence = format!("there are {most} accounts, which is the most");
            return Err(AccountError::Limit(sentence));
        }
        let display = match display.trim() {
            "" => name.as_str().to_owned(),
            given => names::shown("the display name", given, self.settings.title_bytes_max)
                .map_err(|refusal| AccountError::Invalid(refusal.sentence.into()))?,
        };
        let id = self.directory.next_id();
        let (password, scram) = match password {
            Some(password) => (Some(password.argon2), password.scram),
            None => (None, None),
        };
        let account = Account {
            name,
            display,
            // Somebody has to be able to make the others.
            role: if self.directory.is_empty() {
                Role::Admin
            } else {
                role
            },
            password,
            disabled: false,
            created: now,
            profile_text: String::new(),
            removed: false,
            scram,
        };
        self.directory.insert(id, account.clone());
        self.put_account(id, batch);
        Ok(AccountAnswer::Added {
            id,
            account: Box::new(account),
        })
    }

    fn set_password(
        &mut self,
        name: &str,
        password: HashedPassword,
        batch: &mut Batch,
    ) -> Result<AccountAnswer, AccountError> {
        let id = self.account_named(name)?;
        if let Some(state) = self.directory.find_mut(id) {
            state.record.password = Some(password.argon2);
            state.record.scram = password.scram;
        }
        self.put_account(id, batch);
        self.revoke_tokens(id, batch);
        batch.tell(Output::CloseAccount { account: id });
        Ok(AccountAnswer::Done)
    }

    fn keep_verifier(
        &mut self,
        id: AccountId,
        argon2: &str,
        scram: ScramVerifier,
        batch: &mut Batch,
    ) {
        let Some(state) = self.directory.find_mut(id) else {
            return;
        };
        if state.record.password.as_deref() == Some(argon2) {
            state.record.scram = Some(scram);
            self.put_account(id, batch);
        }
    }

    fn set_disabled(
        &mut self,
        name: &str,
        disabled: bool,
        batch: &mut Batch,
    ) -> Result<AccountAnswer, AccountError> {
        let id = self.account_named(name)?;
        if disabled && self.directory.is_last_administrator(id) {
            return Err(AccountError::LastAdministrator(name.to_owned()));
        }
        match self.directory.find_mut(id) {
            Some(state) if state.record.disabled != disabled => state.record.disabled = disabled,
            Some(_) | None => return Ok(AccountAnswer::Done),
        }
        self.put_account(id, batch);
        if disabled {
            // Whoever is let in again shows the password again.
            self.revoke_tokens(id, batch);
            batch.tell(Output::CloseAccount { account: id });
        }
        Ok(AccountAnswer::Done)
    }

    fn remove_account(
        &mut self,
        name: &str,
        batch: &mut Batch,
    ) -> Result<AccountAnswer, AccountError> {
        let id = self.account_named(name)?;
        if self.directory.is_last_administrator(id) {
            return Err(AccountError::LastAdministrator(name.to_owned()));
        }
        if let Some(state) = self.directory.find_mut(id) {
            state.record.removed = true;
            state.record.password = None;
            state.record.scram = None;
        }
        self.put_account(id, batch);
        self.revoke_tokens(id, batch);
        batch.tell(Output::CloseAccount { account: id });
        batch.effects.push(Effect::Removed(id));
        Ok(AccountAnswer::Done)
    }

    fn add_token(
        &mut self,
        account: AccountId,
        sha256: [u8; 32],
        label: &str,
        expires: Option<Millis>,
        batch: &mut Batch,
        now: Millis,
    ) -> Result<AccountAnswer, AccountError> {
        match self.directory.find(account) {
            Some(state) if !state.record.removed && !state.record.disabled => {}
            Some(_) | None => return Err(AccountError::NoSuch(format!("number {account}"))),
        }
        let most = self.settings.tokens_max;
        // More than one after a reload that allows fewer.
        for oldest in self.directory.displaced_tokens(account, most) {
            self.counters.tokens_displaced += 1;
            self.revoke_token(&oldest, batch);
        }
        let token = Token {
            account,
            label: label[..label.floor_char_boundary(LABEL_BYTES_MAX)].to_owned(),
            created: now,
            expires,
        };
        self.directory.insert_token(sha256, &token);
        batch.put(key::token(&sha256), token.encode());
        batch.tell(Output::Credentials(CredentialsChange::Token {
            sha256,
            account,
            expires,
        }));
        Ok(AccountAnswer::Done)
    }

    fn renew_token(
        &mut self,
        sha256: [u8; 32],
        expires: Millis,
        source: &dyn Source,
        batch: &mut Batch,
    ) {
        if !self.directory.has_token(&sha256) {
            return;
        }
        let key = key::token(&sha256);
        // What cannot be read stays as it is, and is told at the next start.
        let Ok(Some(row)) = source.value(&key) else {
            return;
        };
        let Ok(token) = Token::decode(&row) else {
            return;
        };
        let expires = Some(expires);
        batch.put(key, Token { expires, ..token }.encode());
        batch.tell(Output::Credentials(CredentialsChange::Token {
            sha256,
            account: token.account,
            expires,
        }));
    }

    fn revoke_token(&mut self, sha256: &[u8; 32], batch: &mut Batch) {
        if let Some(account) = self.directory.remove_token(sha256) {
            forget_token(*sha256, batch);
            batch.tell(Output::CloseToken {
                account,
                sha256: *sha256,
            });
        }
    }

    /// All of an account, whose connections are closed as well.
    fn revoke_tokens(&mut self, account: AccountId, batch: &mut Batch) {
        for sha256 in self.directory.remove_tokens(account) {
            forget_token(sha256, batch);
        }
    }

    fn account_named(&self, name: &str) -> Result<AccountId, AccountError> {
        self.directory
            .named(name)
            .ok_or_else(|| AccountError::NoSuch(name.to_owned()))
    }

    /// Writes an account as it is, and tells who checks logins.
    fn put_account(&self, id: AccountId, batch: &mut Batch) {
        let Some(state) = self.directory.find(id) else {
            return;
        };
        batch.put(key::account(id), state.record.encode());
        batch.tell(Output::Credentials(CredentialsChange::Account {
            id,
            account: state.record.clone(),
        }));
    }
}

fn forget_token(sha256: [u8; 32], batch: &mut Batch) {
    batch.delete(key::token(&sha256));
    batch.tell(Output::Credentials(CredentialsChange::TokenRevoked {
        sha256,
    }));
}
