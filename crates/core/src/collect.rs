//! Many `Result`s into one.
//!
//! These are for results that are there; [`parallel!`](crate::parallel!), [`race!`](crate::race!) and
//! [`Run::each`](crate::Run::each) are for calls that are still to be made. Everything is in the order of
//! the input.
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

/// All values, or the first error. The same as [`Iterator::collect`], under the name of its siblings.
///
/// # Errors
/// The first error in the order of the input; what comes after it is not looked at.
pub fn all<T, E>(results: impl IntoIterator<Item = Result<T, E>>) -> Result<Vec<T>, E> {
    results.into_iter().collect()
}

/// All values, or all errors.
///
/// # Errors
/// Every error, of which there is at least one.
pub fn all_settled<T, E>(results: impl IntoIterator<Item = Result<T, E>>) -> Result<Vec<T>, Vec<E>> {
    let (values, errors) = partition(results);
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// The first value, or else the first error. `None`: there are no results at all.
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

/// The values and the errors, apart.
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
    fn nothing_is_all_well_but_not_any() {
        let none = Vec::<Result<u32, ()>>::new;
        assert_eq!(all(none()), Ok(vec![]));
        assert_eq!(all_settled(none()), Ok(vec![]));
        assert_eq!(any(none()), None);
    }

    #[test]
    fn where_all_failed_any_is_the_first_error() {
        assert_eq!(any([Err::<(), _>(1), Err(2)]), Some(Err(1)));
    }
}
