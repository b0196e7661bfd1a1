//! Finds or installs the browser for the tests of HTML pages: Chromium, and the chromedriver that controls it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::services::{Variable, first_of};
use crate::{apt, command};

/// The environment variables that can name the two programs.
const DRIVER: &str = "AWAITLY_CHROMEDRIVER";
const BROWSER: &str = "AWAITLY_CHROMIUM";
/// Debian's packages.
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];
/// The program names of Chromium on different systems.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const ON_MACOS: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

/// The paths of the two programs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Browser {
    driver: PathBuf,
    /// If `None`, chromedriver searches for the browser.
    browser: Option<PathBuf>,
}

impl Browser {
    /// Finds or installs both programs, and prints their location.
    pub(crate) fn find() -> Result<Self> {
        let (found, how) = match Self::named(variable(DRIVER), variable(BROWSER))? {
            Some(named) => (named, format!("named by {DRIVER}")),
            None => (Self::installed().map_or_else(install, Ok)?, "installed".to_owned()),
        };
        eprintln!("Chromium: {} ({how})", found.driver.display());
        Ok(found)
    }

    /// Returns the environment variables with which a command finds the programs.
    pub(crate) fn environment(&self) -> impl Iterator<Item = Variable> {
        let shown = |path: &PathBuf| path.display().to_string();
        let browser = self.browser.as_ref().map(|browser| (BROWSER, shown(browser)));
        [(DRIVER, shown(&self.driver))].into_iter().chain(browser)
    }

    // A program that a variable names must start: the tests must not use another program than the caller chose.
    fn named(driver: Option<PathBuf>, browser: Option<PathBuf>) -> Result<Option<Self>> {
        let Some(driver) = driver else {
            ensure!(browser.is_none(), "{BROWSER} is set, and {DRIVER} is not: set both, or neither");
            return Ok(None);
        };
        ensure!(starts(&driver), "{DRIVER} names {}, which is no chromedriver", driver.display());
        if let Some(browser) = &browser {
            ensure!(browser.is_file(), "{BROWSER} names {}, which is not there", browser.display());
        }
        Ok(Some(Self { driver, browser }))
    }

    fn installed() -> Option<Self> {
        let driver = first_of(&["chromedriver"]).filter(|driver| starts(driver))?;
        let browser = first_of(&BROWSERS)
            .or_else(|| Some(PathBuf::from(ON_MACOS)).filter(|chrome| chrome.is_file()))?;
        Some(Self { driver, browser: Some(browser) })
    }
}

fn install() -> Result<Browser> {
    ensure!(
        apt::may_install(),
        "Chromium or its chromedriver is missing: the tests of HTML pages need both. Install them (Debian: `apt-get \
         install chromium chromium-driver`; Ubuntu: `snap install chromium`; Fedora: `dnf install chromium \
         chromedriver`; macOS: `brew install --cask google-chrome chromedriver`), or set {DRIVER} and {BROWSER} \
         to their paths, and run this command again"
    );
    eprintln!("Chromium or its chromedriver is missing: installing {}", PACKAGES.join(" and "));
    apt::install(&PACKAGES)?;
    Browser::installed().with_context(|| {
        format!(
            "{} are installed, but their programs are not in PATH: add their folder to PATH",
            PACKAGES.join(" and ")
        )
    })
}

fn variable(name: &str) -> Option<PathBuf> {
    // If a secret is missing in CI, its variable is set but empty.
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn starts(program: &Path) -> bool {
    command::succeeds(Command::new(program).arg("--version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(driver: Option<&str>, browser: Option<&str>) -> Result<Option<Browser>, String> {
        Browser::named(driver.map(Into::into), browser.map(Into::into)).map_err(|error| error.to_string())
    }

    #[test]
    fn named_program_that_is_missing_is_an_error() {
        assert_eq!(told(None, None), Ok(None));
        assert_eq!(
            told(None, Some("/usr/bin/chromium")),
            Err("AWAITLY_CHROMIUM is set, and AWAITLY_CHROMEDRIVER is not: set both, or neither".to_owned())
        );
        assert_eq!(
            told(Some("/nowhere/driver"), None),
            Err("AWAITLY_CHROMEDRIVER names /nowhere/driver, which is no chromedriver".to_owned())
        );
    }

    #[cfg(unix)]
    #[test]
    fn found_programs_are_passed_on_in_variables() {
        // Any program with a `--version` option can stand in for chromedriver.
        let named = told(Some("cargo"), Some("/nowhere/chromium"));
        assert_eq!(named, Err("AWAITLY_CHROMIUM names /nowhere/chromium, which is not there".to_owned()));
        let both = Browser { driver: "/bin/driver".into(), browser: Some("/bin/chromium".into()) };
        let variables = [(DRIVER, "/bin/driver".to_owned()), (BROWSER, "/bin/chromium".to_owned())];
        assert_eq!(both.environment().collect::<Vec<_>>(), variables);
        let alone = Browser { browser: None, ..both };
        assert_eq!(alone.environment().count(), 1);
    }

    #[test]
    #[ignore = "needs an installed Chromium; the other tests need only Rust"]
    fn installed_browser_is_found() {
        assert!(Browser::installed().is_some());
    }
}
