//! What the tests need from the machine: found, installed where that is possible, and otherwise remembered with the
//! reason, for the tests that will be skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::group::Group;
use super::tally::{Skip, Tally};
use super::{Plan, debian, node_packages, python};
use crate::child;

/// The oldest Node.js that the web client's tools take (`web/package.json`, engines).
const NODE_MIN: (u32, u32) = (20, 19);
/// The web client and its tests.
pub(crate) const WEB: &str = "web";
/// The packages of the Node clients among the client tests.
const NODE_CLIENTS: &str = "tests/clients/node";
/// Names of Chromium and its kin, in order of preference.
const CHROMIUM: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
];

/// Something from a Debian package that some groups need.
struct Tool {
    package: &'static str,
    groups: &'static [Group],
    is_there: fn() -> bool,
}

const TOOLS: [Tool; 9] = [
    Tool {
        package: "nodejs",
        groups: &[Group::Web, Group::EndToEnd, Group::Clients],
        is_there: || child::on_path("node").is_some(),
    },
    Tool {
        package: "npm",
        groups: &[Group::Web, Group::EndToEnd, Group::Clients],
        is_there: || child::on_path("npm").is_some(),
    },
    Tool {
        package: "chromium",
        groups: &[Group::EndToEnd, Group::Clients],
        is_there: || chromium().is_some(),
    },
    Tool {
        package: "mosquitto-clients",
        groups: &[Group::Clients],
        is_there: || {
            ["mosquitto_sub", "mosquitto_pub"]
                .iter()
                .all(|name| child::on_path(name).is_some())
        },
    },
    Tool {
        package: "mosquitto",
        groups: &[Group::Rust],
        is_there: || child::on_path("mosquitto").is_some(),
    },
    Tool {
        package: "nginx-light",
        groups: &[Group::Clients],
        is_there: || Path::new("/usr/sbin/nginx").is_file(),
    },
    Tool {
        package: "python3-venv",
        groups: &[Group::Clients],
        is_there: python::can_make_environments,
    },
    Tool {
        package: "faketime",
        groups: &[Group::Clients],
        is_there: || child::on_path("faketime").is_some(),
    },
    Tool {
        package: "strace",
        groups: &[Group::Crash],
        is_there: || child::on_path("strace").is_some(),
    },
];

/// What is there for the tests.
pub(crate) struct Setup {
    /// Why the web client's tests cannot run, if they cannot: a reason and `; install: …`.
    pub(crate) web: Result<(), String>,
    pub(crate) chromium: Result<PathBuf, String>,
    /// Variables for every test.
    pub(crate) variables: Vec<(&'static str, PathBuf)>,
    /// Variables that stay unset, and why: a test that misses one knows only that.
    missing: Vec<(&'static str, String)>,
}

impl Setup {
    pub(crate) fn prepare(plan: &Plan) -> Self {
        install_tools(plan);
        let wants = |groups: &[Group]| groups.iter().any(|group| plan.has(*group));
        let mut setup = Self {
            web: Ok(()),
            chromium: chromium()
                .ok_or_else(|| "no Chromium; install: apt-get install chromium".to_owned()),
            variables: Vec::new(),
            missing: Vec::new(),
        };
        let node = node_is_new_enough();
        setup.note("MAGPIE_CHROMIUM", setup.chromium.clone());
        if wants(&[Group::Web, Group::EndToEnd, Group::Clients]) {
            setup.web = node.clone().and_then(|()| install_node_packages(plan, WEB));
        }
        if wants(&[Group::Clients]) {
            setup.prepare_clients(plan, &node);
        }
        setup
    }

    fn prepare_clients(&mut self, plan: &Plan, node: &Result<(), String>) {
        let packages = node
            .clone()
            .and_then(|()| install_node_packages(plan, NODE_CLIENTS))
            .map(|()| plan.root.join(NODE_CLIENTS).join("node_modules"));
        self.note("MAGPIE_NODE_MODULES", packages);
        let python = python::environment(&plan.root, &plan.work).map_err(|reason| {
            format!("no Python environment: {reason}; install: apt-get install python3-venv")
        });
        self.note("MAGPIE_PYTHON", python);
    }

    fn note(&mut self, variable: &'static str, value: Result<PathBuf, String>) {
        match value {
            Ok(path) => self.variables.push((variable, path)),
            Err(reason) => self.missing.push((variable, reason)),
        }
    }

    /// Puts the reason into skips that only name the variable that was not set.
    pub(crate) fn explain(&self, tally: &mut Tally) {
        for (variable, why) in &self.missing {
            for skip in &mut tally.skips {
                if skip.reason.contains(variable) {
                    *skip = Skip::new(&skip.name, why);
                }
            }
        }
    }
}

fn install_tools(plan: &Plan) {
    let missing: Vec<_> = TOOLS
        .iter()
        .filter(|tool| tool.groups.iter().any(|group| plan.has(*group)))
        .filter(|tool| !(tool.is_there)())
        .map(|tool| tool.package)
        .collect();
    debian::install(&missing);
}

fn install_node_packages(plan: &Plan, folder: &str) -> Result<(), String> {
    if !plan.root.join(folder).join("package-lock.json").is_file() {
        return Err(format!("{folder}/package-lock.json is not there"));
    }
    node_packages::install(&plan.root, folder)
        .map_err(|reason| format!("{reason}; install: cd {folder} && npm ci"))
}

fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("MAGPIE_CHROMIUM").filter(|named| !named.is_empty());
    named
        .map(PathBuf::from)
        .or_else(|| CHROMIUM.iter().find_map(|name| child::on_path(name)))
}

fn node_is_new_enough() -> Result<(), String> {
    let (major, minor) = NODE_MIN;
    let wanted = format!("Node.js {major}.{minor} or later");
    let install = "apt-get install nodejs npm (Debian 13; elsewhere from nodejs.org)";
    let Some(version) = child::first_line(Command::new("node").arg("--version")) else {
        return Err(format!("no Node.js; install: {install}"));
    };
    if child::on_path("npm").is_none() {
        return Err(format!("no npm; install: {install}"));
    }
    if node_version(&version) < NODE_MIN {
        return Err(format!(
            "{wanted} is needed, {version} is installed; install: {install}"
        ));
    }
    Ok(())
}

/// `v20.19.4` as its first two numbers.
fn node_version(text: &str) -> (u32, u32) {
    let mut numbers = text
        .trim_start_matches('v')
        .split('.')
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_for_a_variable_is_told_with_the_reason_behind_it() {
        let mut setup = Setup {
            web: Ok(()),
            chromium: Err(String::new()),
            variables: Vec::new(),
            missing: Vec::new(),
        };
        setup.note(
            "MAGPIE_PYTHON",
            Err("no Python; install: get one".to_owned()),
        );
        let mut tally = Tally::default();
        tally.skip(
            "paho",
            "MAGPIE_PYTHON is not set; install: cargo xtask test",
        );
        tally.skip("other", "no strace; install: apt-get install strace");
        setup.explain(&mut tally);
        let expected = [
            Skip::new("paho", "no Python; install: get one"),
            Skip::new("other", "no strace; install: apt-get install strace"),
        ];
        assert_eq!(tally.skips, expected);
    }

    #[test]
    fn versions_of_node_are_compared_by_their_numbers() {
        assert!(node_version("v20.9.0") < NODE_MIN);
        assert!(node_version("v20.19.0") >= NODE_MIN);
        assert!(node_version("v22.1.0") >= NODE_MIN);
        assert!(node_version("what") < NODE_MIN);
    }
}
