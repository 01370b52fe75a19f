//! Personal data that cannot be logged by accident.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A value that identifies a person. `Debug` hides it; reading it is a visible `.0`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal<T>(pub T);

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn debug_output_hides_the_value() {
        assert_eq!(format!("{:?}", super::Personal("Ada Lovelace")), "[personal]");
    }
}
