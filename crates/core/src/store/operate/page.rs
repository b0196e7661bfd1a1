/// A page of a list.
///
/// ```
/// use awaitly_core::store::Page;
///
/// /// Returns the address of the next page of a list on the web.
/// fn next_page<T>(page: &Page<T>) -> Option<String> {
///     page.next.as_ref().map(|next| format!("/runs?after={next}"))
/// }
///
/// let page = Page { items: vec!["order-42"], next: Some("42".into()) };
/// assert_eq!(next_page(&page).unwrap(), "/runs?after=42");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page: pass it to [`after`](super::RunQuery::after). It is valid for the store and query that
    /// returned it; a store refuses other text with [`StoreError::BadCursor`](crate::store::StoreError::BadCursor).
    /// `None`: this is the last page.
    pub next: Option<Box<str>>,
}

impl<T> Page<T> {
    /// Returns a page with the first `limit` of `items`. If there are more items, `place` is called with the last item
    /// of the page, and returns the cursor of the next page.
    ///
    /// A store reads one row more than the limit, to see if there is a next page:
    ///
    /// ```
    /// use awaitly_core::store::Page;
    ///
    /// let rows = vec![43, 42, 41];
    /// let page = Page::cut(rows, 2, |number| number.to_string().into());
    /// assert_eq!(page, Page { items: vec![43, 42], next: Some("42".into()) });
    /// ```
    #[must_use]
    pub fn cut(mut items: Vec<T>, limit: usize, place: impl FnOnce(&T) -> Box<str>) -> Self {
        let next = if items.len() > limit {
            items.truncate(limit);
            items.last().map(place)
        } else {
            None
        };
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_page_holds_cursor_of_next() {
        let place = |item: &u32| -> Box<str> { item.to_string().into() };
        assert_eq!(Page::cut(vec![3, 2, 1], 2, place), Page { items: vec![3, 2], next: Some("2".into()) });
        assert_eq!(Page::cut(vec![3, 2], 2, place), Page { items: vec![3, 2], next: None });
    }
}
