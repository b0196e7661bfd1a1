//! Splits batches, so that one call does not block the server for long.

/// The maximum number of items in one call, and about the maximum size of their contents.
const MOST: (usize, usize) = (500, 1 << 20);

/// Splits a batch of items. `size` returns the size of an item's content.
pub(super) fn parts<T>(mut batch: &[T], size: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |item: &&T| {
            bytes += size(item);
            bytes <= MOST.1
        };
        let most = batch.iter().take(MOST.0).take_while(fits).count().max(1).min(batch.len());
        let (part, rest) = batch.split_at(most);
        batch = rest;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_limited_in_number_and_size() {
        let lengths = |sizes: &[usize]| parts(sizes, |size| *size).map(<[usize]>::len).collect::<Vec<_>>();
        assert!(lengths(&[]).is_empty());
        assert_eq!(lengths(&[0; 1001]), [500, 500, 1]);
        let large = (1 << 19) + 2;
        assert_eq!(lengths(&[large; 3]), [1, 1, 1]);
        assert_eq!(lengths(&[0, large, large, 0]), [2, 2]);
    }
}
