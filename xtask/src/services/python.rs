//! A Python with `requests`, for clients that test our servers from outside.

use super::{Place, Provided, Service, file_from_environment};
use crate::venv;
use anyhow::{Context, Result};

const VARIABLE: &str = "TRUNKLINE_TEST_PYTHON";
const PACKAGES: [&str; 1] = ["requests==2.34.2"];

pub(super) struct Python;

impl Service for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn variables(&self) -> &'static [&'static str] {
        &[VARIABLE]
    }

    fn provide(&self, place: &Place) -> Result<Provided> {
        let python = match file_from_environment(VARIABLE)? {
            Some(python) => python,
            None => venv::ensure(&place.dir.join("venv"), &PACKAGES)
                .with_context(|| format!("or set {VARIABLE} to a Python that has requests"))?
                .join("python"),
        };
        Ok(Provided { variables: vec![(VARIABLE, python.display().to_string())], server: None })
    }
}
