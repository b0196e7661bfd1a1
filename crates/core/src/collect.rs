//! Functions that combine many `Result`s into one.
//!
//! The functions of this module take results that exist already, and keep the order of the input. To make several
//! calls, use [`parallel!`](crate::parallel!), [`race!`](crate::race!) or [`Run::each`](crate::Run::each).
//!
//! ```
//! use awaitly_core::collect;
//!
//! let results = || ["1", "x", "3", "y"].map(str::parse::<u32>);
//!
//! assert!(collect::all(results()).is_err());
//! assert_eq!(collect::all_settled(results()).unwrap_err().len(), 2);
//! assert_eq!(collect::any(results()), Some(Ok(1)));
//! let (numbers, errors) = collect::partition(results());
//! assert_eq!((numbers, errors.len()), (vec![1, 3], 2));
//! ```

/// Returns all values, or the first error, as [`Iterator::collect`] does.
///
/// # Errors
/// Returns the first error in the order of the input, and does not look at later results.
///
/// # Examples
/// ```
/// use awaitly_core::collect;
///
/// let quantities = ["2", "1"].map(str::parse::<u32>);
/// assert_eq!(collect::all(quantities), Ok(vec![2, 1]));
/// ```
pub fn all<T, E>(results: impl IntoIterator<Item = Result<T, E>>) -> Result<Vec<T>, E> {
    results.into_iter().collect()
}

/// Returns all values, or all errors.
///
/// # Errors
/// Returns every error if there is at least one.
///
/// # Examples
/// ```
/// use awaitly_core::collect;
///
/// let cart = [("tea", 2), ("mug", 0), ("pot", 0)];
/// let checked = cart.map(|(sku, count)| if count > 0 { Ok(sku) } else { Err(format!("no {sku}")) });
/// assert_eq!(collect::all_settled(checked).unwrap_err(), ["no mug", "no pot"]);
/// ```
pub fn all_settled<T, E>(results: impl IntoIterator<Item = Result<T, E>>) -> Result<Vec<T>, Vec<E>> {
    let (values, errors) = partition(results);
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// Returns the first value. If all results are errors, returns the first error. Returns `None` for an empty input.
///
/// ```
/// use awaitly_core::collect;
///
/// let quotes = [Err("the carrier is closed"), Ok(490), Ok(420)];
/// assert_eq!(collect::any(quotes), Some(Ok(490)));
/// assert_eq!(collect::any([Err::<u32, _>("closed"), Err("busy")]), Some(Err("closed")));
/// ```
pub fn any<T, E>(results: impl IntoIterator<Item = Result<T, E>>) -> Option<Result<T, E>> {
    let mut first_error = None;
    for result in results {
        match result {
            Ok(value) => return Some(Ok(value)),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map(Err)
}

/// Returns the values and the errors in two lists.
///
/// ```
/// use awaitly_core::collect;
///
/// let payouts = [Ok(40), Err("order-7 has no account"), Ok(2)];
/// let (paid, failed) = collect::partition(payouts);
/// assert_eq!((paid, failed), (vec![40, 2], vec!["order-7 has no account"]));
/// ```
pub fn partition<T, E>(results: impl IntoIterator<Item = Result<T, E>>) -> (Vec<T>, Vec<E>) {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    (values, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_input_has_all_values_and_not_any() {
        let none = Vec::<Result<u32, ()>>::new;
        assert_eq!(all(none()), Ok(vec![]));
        assert_eq!(all_settled(none()), Ok(vec![]));
        assert_eq!(any(none()), None);
    }

    #[test]
    fn any_of_only_errors_is_the_first_error() {
        assert_eq!(any([Err::<(), _>(1), Err(2)]), Some(Err(1)));
    }
}
