//! Configuration from the environment: every fault at once, in one sentence.

use std::{collections::HashMap, fmt::Display, str::FromStr};

/// A reader of environment variables that collects what is wrong. Ask for everything, then call [`Env::finish`].
#[derive(Debug)]
pub struct Env {
    values: HashMap<String, String>,
    faults: Vec<String>,
}

/// The environment lacks something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the function's configuration is incomplete: {}", .0.join("; "))]
pub struct ConfigError(pub Vec<String>);

impl Env {
    /// The environment of this process.
    pub fn process() -> Self {
        // A value that is no Unicode cannot be one of ours.
        Self::from_values(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))))
    }
    /// The given variables, for tests.
    pub fn from_values<K: Into<String>, V: Into<String>>(values: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { values: values.into_iter().map(|(k, v)| (k.into(), v.into())).collect(), faults: Vec::new() }
    }
    /// The value of `name`. An empty value counts as missing: templates turn "no value" into an empty string.
    pub fn optional(&self, name: &str) -> Option<String> {
        self.values.get(name).filter(|value| !value.is_empty()).cloned()
    }
    /// The value of `name`; a missing one is noted and reads as empty until [`Env::finish`] reports it.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.faults.push(format!("{name} is missing"));
            String::new()
        })
    }
    /// The value of `name`, parsed; a fault is noted and reads as the default until [`Env::finish`] reports it.
    pub fn parsed<T: FromStr<Err: Display> + Default>(&mut self, name: &str) -> T {
        match self.optional(name).as_deref().map(str::parse) {
            Some(Ok(value)) => return value,
            Some(Err(error)) => self.faults.push(format!("{name} is invalid: {error}")),
            None => self.faults.push(format!("{name} is missing")),
        }
        T::default()
    }
    /// The value of `name`, parsed, if there is one; a fault is noted and reads as none until [`Env::finish`] reports it.
    pub fn parsed_if_set<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let parsed = self.optional(name)?.parse();
        parsed.map_err(|error| self.faults.push(format!("{name} is invalid: {error}"))).ok()
    }
    /// Ends reading.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault that was noted.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.faults.is_empty() { Ok(()) } else { Err(ConfigError(self.faults)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_listed_at_once_and_empty_counts_as_missing() {
        let mut env = Env::from_values([("A", "a"), ("B", ""), ("N", "x")]);
        assert_eq!(env.required("A"), "a");
        assert_eq!(env.optional("B"), None);
        env.required("B");
        env.required("C");
        env.parsed::<u32>("N");
        env.parsed::<u32>("M");
        let error = env.finish().unwrap_err().to_string();
        for fault in ["B is missing", "C is missing", "N is invalid: ", "M is missing"] {
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn a_complete_environment_is_accepted() {
        let mut env = Env::from_values([("A", "a"), ("N", "7")]);
        assert_eq!((env.required("A").as_str(), env.parsed::<u32>("N")), ("a", 7));
        env.finish().unwrap();
    }
}
