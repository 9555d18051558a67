//! What may stand on the command line, and the help. It must not decide what the values do.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use server::config::{Durability, Overrides};

use crate::size;

/// Headings and names stand out a little; everything else is the terminal's own colour.
const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(Style::new().dimmed());

const HELP: &str = "\
Magpie {version}: {about}

{usage-heading} {usage}

{all-args}{after-help}";

const USAGE: &str = "magpie [OPTIONS]              start the server, as `magpie serve` does
       magpie <COMMAND> [OPTIONS]";

const EXAMPLES: &str = "\
Examples:
  magpie                      serve on loopback, data in ./magpie-data
  magpie serve --demo         with three people, two groups and some history to look at
  magpie account add bob      a new account; the password is asked for
  magpie status               how the running server is
  magpie backup /mnt/backup   everything, while the server runs

  mosquitto_sub -V 5 -u bob -P … -t 'im/text/#'               any MQTT client is a chat client
  mosquitto_pub -V 5 -u bob -P … -t im/to/@alice -q 1 -m hi

Without --config the file magpie.toml of the current directory is read, if there is one; options go before it, and
before their environment variables, which are named with them.
docs/configuration.md names every key. SIGHUP reads the file again, SIGTERM ends the server in order.";

const DESCRIPTION: &str = "a self-hosted messenger whose wire protocol is plain MQTT";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "magpie",
    version,
    about = DESCRIPTION,
    styles = STYLES,
    help_template = HELP,
    override_usage = USAGE,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Of the server, which starts when there is no command.
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the server; what happens without a command, too
    Serve(ServeArguments),
    /// Ask the running server how it is
    Status(StatusArguments),
    /// Read the configuration as `serve` would, and say what is wrong with it
    CheckConfig(ConfigArguments),
    /// Make, list, close and remove accounts, whether the server runs or not
    Account(AccountArguments),
    /// List groups and delete them, whether the server runs or not
    Group(GroupArguments),
    /// Show who changed which account or limit, and when
    Audit(AuditArguments),
    /// Copy everything to a folder or a stream, while the server runs or not
    Backup(BackupArguments),
    /// Make a data directory out of a backup
    Restore(RestoreArguments),
    /// Check every checksum and reference of the store, or of a backup
    Verify(VerifyArguments),
    /// Show what lies where in the store, and what it is at
    Store(StoreArguments),
}

/// Where a server is found: its configuration and its data directory.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArguments {
    /// Configuration file [default: ./magpie.toml, if there is one]
    #[arg(
        long,
        value_name = "FILE",
        env = "MAGPIE_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
    /// Data directory [default: ./magpie-data]
    #[arg(long, value_name = "DIR", env = "MAGPIE_DATA", hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
}

/// What goes before the configuration file.
#[derive(Debug, Clone, Args)]
pub(crate) struct SettingsArguments {
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Speak MQTT here; may be given several times; port 0 takes a free one [default: 127.0.0.1:1883]
    #[arg(
        long,
        value_name = "ADDR",
        env = "MAGPIE_MQTT",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub(crate) mqtt: Vec<SocketAddr>,
    /// Web client, REST, and MQTT over WebSocket at /mqtt [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "MAGPIE_HTTP", hide_env_values = true)]
    pub(crate) http: Option<SocketAddr>,
    /// Clients without an account may connect and use every ordinary topic
    #[arg(long, env = "MAGPIE_ALLOW_ANONYMOUS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) allow_anonymous: bool,
    /// `always`: on disk before it is acknowledged; `interval`: at most a moment after [default: always]
    #[arg(
        long,
        value_name = "WHEN",
        hide_possible_values = true,
        env = "MAGPIE_DURABILITY",
        hide_env_values = true
    )]
    pub(crate) durability: Option<DurabilityWord>,
    /// off, error, warn, info, debug, trace, or directives such as `info,broker=debug` [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = log_level, env = "MAGPIE_LOG", hide_env_values = true)]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
    /// Fill an empty server with three people, two groups and some history, and tell their logins at every start
    #[arg(long, env = "MAGPIE_DEMO", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) demo: bool,
    /// Start on a damaged journal with its undamaged beginning; what is cut off is kept beside it
    #[arg(long)]
    pub(crate) accept_data_loss: bool,
}

/// Judged as the same key of the configuration is.
fn log_level(text: &str) -> Result<String, String> {
    match server::config::parse("--log", &format!("[log]\nlevel = {text:?}\n")) {
        Ok(_) => Ok(text.to_owned()),
        Err(mistakes) => Err(mistakes
            .into_iter()
            .map(|mistake| mistake.problem)
            .collect::<Vec<_>>()
            .join("; ")),
    }
}

/// `--durability`
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DurabilityWord {
    Always,
    Interval,
}

impl SettingsArguments {
    /// What goes before the configuration file.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            data: self.place.data.clone(),
            mqtt: self.mqtt.clone(),
            http: self.http,
            allow_anonymous: self.allow_anonymous,
            durability: self.durability.map(|word| match word {
                DurabilityWord::Always => Durability::Always,
                DurabilityWord::Interval => Durability::Interval,
            }),
            log: self.log.clone(),
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Certificates are read too; nothing is listened on and the data directory is not touched. The exit code is 0 if `magpie serve`\nwith the same options would take the configuration, otherwise 1, and each mistake is told with file, line and key."
)]
pub(crate) struct ConfigArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The server is asked through control.sock in its data directory. The exit code is 0 if it is healthy (`ready`), 1 if it is not\n(`stalled`, `disk_full`, `draining`, `failed`) or cannot be asked, 3 if no server answers there."
)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Say it as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A running server is asked through control.sock in its data directory; otherwise the data directory is\nopened for the moment. The latest change stands last. The log of the server tells the same as it happens."
)]
pub(crate) struct AuditArguments {
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Say it as one line of JSON for each change
    #[arg(long)]
    pub(crate) json: bool,
    /// So many changes at most, the latest
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = BACKUP_HELP)]
pub(crate) struct BackupArguments {
    /// Folder that backups are kept in, or `-` for a tar archive on standard output
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Keep so many generations in the folder, this one included, and remove older ones [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep: Option<u32>,
    /// Copy at most so many bytes in a second: 20M, 1.5G [default: as fast as the disks are]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) rate: Option<u64>,
    /// Say what was done as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const BACKUP_HELP: &str = "\
A backup is the data directory at one commit: everything that was acknowledged before it began is in it. In a folder
only what is new since the last one is copied. docs/backup.md has a cron line and how to restore.

Examples:
  magpie backup /mnt/backup/magpie --keep 14
  magpie backup - | gzip | ssh elsewhere 'cat > magpie.tar.gz'";

#[derive(Debug, Args)]
#[command(after_help = RESTORE_HELP)]
pub(crate) struct RestoreArguments {
    /// Folder that `magpie backup` wrote to, an archive, or `-` for an archive on standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Restore this generation [default: the newest]
    #[arg(long, value_name = "GENERATION")]
    pub(crate) at: Option<u64>,
    /// List the generations of a folder and restore nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// Say what was done as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const RESTORE_HELP: &str = "\
The data directory must be empty or not there, and no server may run on it. Run it as the user that the server runs
as. Every checksum is verified; what does not fit leaves no data directory.

Examples:
  magpie restore /mnt/backup/magpie --data /var/lib/magpie
  ssh elsewhere cat magpie.tar.gz | gunzip | magpie restore - --data /var/lib/magpie";

#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is changed. What is wrong is told line by line, with the rows that it costs; the exit code is 1 then. A running\nserver verifies its own store, and goes on meanwhile."
)]
pub(crate) struct VerifyArguments {
    /// A backup's folder, or a data directory [default: the server's data directory]
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Verify this generation of a backup [default: the newest]
    #[arg(long, value_name = "GENERATION", requires = "path")]
    pub(crate) at: Option<u64>,
    /// Say what was found as lines of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A running server is asked through control.sock in its data directory; otherwise the data directory is\nopened for the moment."
)]
pub(crate) struct StoreArguments {
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
    /// Say it as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A running server is asked through control.sock in its data directory; otherwise the data directory is\nopened for the moment. Where no server has kept data nothing is done, unless `add` is told to --create.\nPasswords are asked for twice, or read with --password-stdin."
)]
pub(crate) struct AccountArguments {
    #[command(subcommand)]
    pub(crate) action: AccountAction,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum AccountAction {
    /// Make an account; the first one is an administrator
    Add {
        #[command(flatten)]
        whom: Whom,
        /// The name that people see [default: NAME]
        #[arg(long, value_name = "TEXT")]
        display: Option<String>,
        /// Make it an administrator
        #[arg(long)]
        admin: bool,
        /// Even if its name looks like that of an account that there is
        #[arg(long)]
        similar: bool,
        /// Begin a new data directory where there is none
        #[arg(long)]
        create: bool,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// Give an account another password; it is logged out everywhere
    Passwd {
        #[command(flatten)]
        whom: Whom,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// List the accounts
    List {
        #[command(flatten)]
        place: PlaceArguments,
    },
    /// Close an account to logins; what it wrote stays
    Disable {
        #[command(flatten)]
        whom: Whom,
    },
    /// Open a disabled account again
    Enable {
        #[command(flatten)]
        whom: Whom,
    },
    /// Remove an account for good; what it wrote stays, under its name
    Remove {
        #[command(flatten)]
        whom: Whom,
        /// Do not ask; needed where there is no terminal
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "A running server is asked through control.sock in its data directory; otherwise the data directory is\nopened for the moment. A group that all its members have left is kept until it is deleted."
)]
pub(crate) struct GroupArguments {
    #[command(subcommand)]
    pub(crate) action: GroupAction,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum GroupAction {
    /// List the groups in the order in which they were made
    List {
        #[command(flatten)]
        place: PlaceArguments,
        /// Say it as one line of JSON for each group
        #[arg(long)]
        json: bool,
    },
    /// Delete a group for good, and all that was said in it
    Delete {
        /// Its address
        #[arg(value_name = "ADDRESS")]
        slug: String,
        #[command(flatten)]
        place: PlaceArguments,
        /// Do not ask; needed where there is no terminal
        #[arg(long)]
        yes: bool,
    },
}

/// One account of one server.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// Login name: a-z, 0-9, `.`, `_` and `-`, at most 64
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) place: PlaceArguments,
}

/// Where a password comes from.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PasswordArguments {
    /// Read the password from standard input, one line
    #[arg(long = "password-stdin")]
    pub(crate) from_stdin: bool,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_definition_has_no_contradictions() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn without_a_command_the_options_are_those_of_serve() {
        let bare =
            Arguments::try_parse_from(["magpie", "--demo", "--mqtt", "127.0.0.1:0"]).unwrap();
        assert!(bare.command.is_none());
        assert!(bare.serve.demo);
        assert_eq!(bare.serve.settings.overrides().mqtt.len(), 1);

        let named = Arguments::try_parse_from([
            "magpie",
            "serve",
            "--mqtt",
            "127.0.0.1:0",
            "--mqtt",
            "[::1]:0",
            "--durability",
            "interval",
        ])
        .unwrap();
        let Some(Command::Serve(serve)) = named.command else {
            panic!("not serve: {named:?}");
        };
        let overrides = serve.settings.overrides();
        assert_eq!(overrides.mqtt.len(), 2);
        assert_eq!(overrides.durability, Some(Durability::Interval));
    }

    #[test]
    fn nonsense_is_told() {
        for (arguments, part) in [
            (&["magpie", "--http", "localhost"][..], "localhost"),
            (&["magpie", "serve", "--durability", "never"], "interval"),
            (&["magpie", "account", "add"], "<NAME>"),
            (&["magpie", "acount"], "account"),
            (&["magpie", "--log", "loud"], "`loud` is not a level"),
        ] {
            let told = Arguments::try_parse_from(arguments)
                .unwrap_err()
                .to_string();
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn help_names_every_command_and_option() {
        let help = Arguments::command().render_help().to_string();
        for part in [
            "serve",
            "account",
            "status",
            "check-config",
            "audit",
            "backup",
            "restore",
            "verify",
            "store",
            "--config",
            "--data",
            "--mqtt",
            "--http",
            "--allow-anonymous",
            "--demo",
            "--durability",
            "--log",
            "--accept-data-loss",
            "--version",
            "Examples:",
        ] {
            assert!(help.contains(part), "{part} is missing in:\n{help}");
        }
    }
}
