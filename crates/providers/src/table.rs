//! Every provider of this crate by name.

use std::sync::Arc;

use trunkline_core_types::{InputError, Profile, Provider};

use crate::claude::{self, ClaudeVoice};

struct Entry {
    profile: fn() -> Profile,
    build: fn(&str) -> Result<Arc<dyn Provider>, InputError>,
}

/// One line per provider, in the order in which a table shows them.
const PROVIDERS: [Entry; 1] =
    [Entry { profile: claude::profile, build: |base_url| Ok(Arc::new(ClaudeVoice::new(base_url)?)) }];

/// The profiles of all providers, one each, in the order of a table.
///
/// ```
/// let names: Vec<_> = trunkline_providers::all_profiles().iter().map(|profile| profile.name).collect();
/// assert_eq!(names, ["claude"]);
/// ```
pub fn all_profiles() -> Vec<Profile> {
    PROVIDERS.iter().map(|entry| (entry.profile)()).collect()
}

/// The provider of that name, as [`Profile::name`] spells it, at `base_url`.
///
/// # Errors
/// [`InputError`] on `provider` for a name that is not known, listing those that are; on `base_url` for what the provider refuses.
pub fn provider_named(name: &str, base_url: &str) -> Result<Arc<dyn Provider>, InputError> {
    let found = PROVIDERS.iter().find(|entry| (entry.profile)().name == name);
    let entry = found.ok_or_else(|| {
        let known: Vec<_> = PROVIDERS.iter().map(|entry| (entry.profile)().name).collect();
        InputError::new("provider", format!("no provider of that name; known: {}", known.join(", ")))
    })?;
    (entry.build)(base_url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_builds_its_provider() {
        for profile in all_profiles() {
            let provider = provider_named(profile.name, "https://voice.example.com").unwrap();
            assert_eq!(provider.profile().name, profile.name);
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = provider_named("canary", "https://voice.example.com").unwrap_err();
        assert_eq!(error.to_string(), "provider: no provider of that name; known: claude");
        let error = provider_named("claude", "voice.example.com").unwrap_err();
        assert_eq!(error.field(), "base_url");
    }
}
