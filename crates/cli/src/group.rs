//! `magpie group`: which groups there are, and the end of one. The rules of groups are the messenger's.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, bail};
use server::handle::control::{Answer, Command};
use server::storage::{self, GroupEntry};

use crate::arguments::{GroupAction, GroupArguments};
use crate::ask::ask;
use crate::{confirm, place};

/// Shows the groups, or deletes one.
pub(crate) fn run(arguments: GroupArguments) -> anyhow::Result<()> {
    let told = match arguments.action {
        GroupAction::List { place, json } => {
            let config = place::open(&place)?;
            let groups = storage::groups(&config.server.data)?;
            if json {
                lines(&groups)?
            } else {
                table(&groups)
            }
        }
        GroupAction::Delete { slug, place, yes } => {
            let config = place::open(&place)?;
            let data = &config.server.data;
            storage::check_there(data)?;
            if !yes {
                confirm::deletion(&slug, data)?;
            }
            let folder = std::path::absolute(data).unwrap_or_else(|_| data.clone());
            match ask(&config, &Command::DeleteGroup { slug })? {
                Answer::GroupDeleted { slug } => {
                    format!(
                        "the group {slug} has been deleted; data in {}\n",
                        folder.display()
                    )
                }
                Answer::Refused { detail, .. } => bail!("{detail} (in {})", folder.display()),
                _ => bail!("the server answered something else than it was asked"),
            }
        }
    };
    std::io::stdout()
        .write_all(told.as_bytes())
        .context("standard output cannot be written")
}

fn lines(groups: &[GroupEntry]) -> anyhow::Result<String> {
    let mut lines = String::new();
    for group in groups {
        lines += &serde_json::to_string(group)?;
        lines.push('\n');
    }
    Ok(lines)
}

/// One line per group: address, members, who may join, when and by whom it was made, title. The last may hold anything, so it
/// stands last.
fn table(groups: &[GroupEntry]) -> String {
    if groups.is_empty() {
        return "there is no group yet\n".to_owned();
    }
    let widest = |text: fn(&GroupEntry) -> &str| groups.iter().map(|group| text(group).len()).max();
    let width = widest(|group| &group.slug).unwrap_or(0);
    let makers = widest(|group| &group.made_by).unwrap_or(0);
    let mut lines = String::new();
    for group in groups {
        let GroupEntry {
            slug,
            title,
            open,
            members,
            made_by,
            created,
        } = group;
        let joining = if *open { "open" } else { "closed" };
        let members = match members {
            0 => "all have left".to_owned(),
            1 => "1 member".to_owned(),
            members => format!("{members} members"),
        };
        let created = storage::utc(*created);
        // A title must not write to somebody's terminal.
        let title: String = title
            .chars()
            .filter(|letter| !letter.is_control())
            .collect();
        // Writing to a text cannot fail.
        let _ = writeln!(
            lines,
            "{slug:width$}  {members:13}  {joining:6}  {created}  {made_by:makers$}  {title}"
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_listed_one_on_a_line_without_control_characters() {
        let group = |slug: &str, title: &str, members| GroupEntry {
            slug: slug.to_owned(),
            title: title.to_owned(),
            open: members == 0,
            members,
            made_by: "alice".to_owned(),
            created: 1_767_323_045_000,
        };
        assert_eq!(
            table(&[group("eng", "엔진\x1b[2J\n", 12), group("b", "B", 0)]),
            "eng  12 members     closed  2026-01-02 03:04:05 UTC  alice  엔진[2J\n\
             b    all have left  open    2026-01-02 03:04:05 UTC  alice  B\n"
        );
        assert!(table(&[]).contains("no group"));
    }
}
