//! Numbers that belong to nobody.

use trunkline::{E164, InputError};

/// Numbers 555-0100 to 555-0199, which the North American plan keeps for fiction, in one area code after the other: at most 79,200,
/// all different.
pub(super) fn fictitious(count: u32) -> Result<Vec<E164>, InputError> {
    // Codes that end in 11 are service numbers.
    let areas = (200..=999).filter(|area| area % 100 != 11);
    let numbers = areas.flat_map(|area| (100..200).map(move |line| format!("+1{area}5550{line}")));
    numbers.take(count as usize).map(|number| number.parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn all_numbers_are_fiction_and_different() {
        let numbers = fictitious(79_200).unwrap();
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 79_200);
        for number in &numbers {
            let number = number.expose();
            assert!(number.len() == 12 && &number[5..10] == "55501" && &number[3..5] != "11", "{number}");
        }
        assert_eq!(fictitious(1).unwrap()[0].expose(), "+12005550100");
    }
}
