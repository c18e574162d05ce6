//! Comparing and searching values, with every byte counted.

use super::work::{NODE, TooMuchWork, Work};
use crate::api::value::AttributeValue;
use memchr::memmem;
use std::cmp::Ordering;

/// Whether two values are equal: as `==`.
pub(super) fn equal(
    a: &AttributeValue,
    b: &AttributeValue,
    work: &mut Work,
) -> Result<bool, TooMuchWork> {
    use AttributeValue as A;
    work.charge(NODE)?;
    Ok(match (a, b) {
        (A::S(a), A::S(b)) => bytes(a.as_bytes(), b.as_bytes(), work)?,
        (A::B(a), A::B(b)) => bytes(a, b, work)?,
        (A::M(a), A::M(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for ((key, value), (other_key, other)) in a.iter().zip(b) {
                if !bytes(key.as_bytes(), other_key.as_bytes(), work)?
                    || !equal(value, other, work)?
                {
                    return Ok(false);
                }
            }
            true
        }
        (A::L(a), A::L(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b) {
                if !equal(a, b, work)? {
                    return Ok(false);
                }
            }
            true
        }
        (A::Ss(a), A::Ss(b)) => elements(a, b, |s| s.len(), work)?,
        (A::Ns(a), A::Ns(b)) => elements(a, b, |_| 0, work)?,
        (A::Bs(a), A::Bs(b)) => elements(a, b, |s| s.len(), work)?,
        // Of different types, or too small to count.
        (a, b) => a == b,
    })
}

fn bytes(a: &[u8], b: &[u8], work: &mut Work) -> Result<bool, TooMuchWork> {
    if a.len() != b.len() {
        return Ok(false);
    }
    work.charge(a.len())?;
    Ok(a == b)
}

fn elements<T: Ord>(
    a: &std::collections::BTreeSet<T>,
    b: &std::collections::BTreeSet<T>,
    size: impl Fn(&T) -> usize,
    work: &mut Work,
) -> Result<bool, TooMuchWork> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b) {
        work.charge(NODE + size(a))?;
        if a != b {
            return Ok(false);
        }
    }
    Ok(true)
}

/// [`AttributeValue::compare`].
pub(super) fn order(
    a: &AttributeValue,
    b: &AttributeValue,
    work: &mut Work,
) -> Result<Option<Ordering>, TooMuchWork> {
    if let (AttributeValue::S(_), AttributeValue::S(_))
    | (AttributeValue::B(_), AttributeValue::B(_)) = (a, b)
    {
        // Of a string or binary: its length.
        work.charge(a.size().min(b.size()))?;
    }
    Ok(a.compare(b))
}

/// Whether a string or binary has a part, or a list or set an element. Linear in both.
pub(super) fn contains(
    value: &AttributeValue,
    part: &AttributeValue,
    work: &mut Work,
) -> Result<bool, TooMuchWork> {
    use AttributeValue as A;
    Ok(match (value, part) {
        (A::S(v), A::S(p)) => within(v.as_bytes(), p.as_bytes(), work)?,
        (A::B(v), A::B(p)) => within(v, p, work)?,
        (A::L(list), part) => {
            for element in list {
                if equal(element, part, work)? {
                    return Ok(true);
                }
            }
            false
        }
        (A::Ss(set), A::S(p)) => {
            work.charge(look_up(set.len(), p.len()))?;
            set.contains(p)
        }
        (A::Ns(set), A::N(p)) => {
            work.charge(look_up(set.len(), 0))?;
            set.contains(p)
        }
        (A::Bs(set), A::B(p)) => {
            work.charge(look_up(set.len(), p.len()))?;
            set.contains(p)
        }
        _ => false,
    })
}

fn within(value: &[u8], part: &[u8], work: &mut Work) -> Result<bool, TooMuchWork> {
    work.charge(value.len() + part.len())?;
    Ok(memmem::find(value, part).is_some())
}

/// Work of finding an element of a set.
fn look_up(elements: usize, length: usize) -> usize {
    (elements.max(1).ilog2() as usize + 1) * (NODE + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json::tests::any_value;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_equality(a in any_value(), b in any_value()) {
            let mut work = Work::default();
            prop_assert_eq!(equal(&a, &b, &mut work), Ok(a == b));
            prop_assert_eq!(equal(&a, &a.clone(), &mut work), Ok(true));
            // Too little of it is an error, never an answer.
            let needed = Work::default().left() - {
                let mut work = Work::default();
                equal(&a, &a, &mut work).unwrap();
                work.left()
            };
            prop_assert_eq!(equal(&a, &a, &mut Work::of(needed - 1)), Err(TooMuchWork));
            prop_assert_eq!(equal(&a, &a, &mut Work::of(needed)), Ok(true));
        }

        #[test]
        fn a_part_is_found_where_it_is(
            v in prop::collection::vec(0u8..3, 0..40),
            p in prop::collection::vec(0u8..3, 0..5),
        ) {
            let there = p.is_empty() || v.windows(p.len()).any(|w| w == p);
            let found = contains(&AttributeValue::B(v), &AttributeValue::B(p), &mut Work::default());
            prop_assert_eq!(found, Ok(there));
        }
    }
}
