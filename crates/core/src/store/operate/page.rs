use serde::{Deserialize, Serialize};

/// A place in a list, from which the next page begins. It is valid for the store and query that returned it; any other
/// text fails with [`StoreError::BadCursor`](crate::store::StoreError::BadCursor).
///
/// ```
/// use awaitly_core::store::{Cursor, Page};
///
/// /// Returns the address of the next page of a list on the web.
/// fn next_page<T>(page: &Page<T>) -> Option<String> {
///     page.next.as_ref().map(|next| format!("/runs?after={}", next.as_str()))
/// }
///
/// let page = Page { items: vec!["order-42"], next: Some(Cursor::new("42")) };
/// assert_eq!(next_page(&page).unwrap(), "/runs?after=42");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(Box<str>);

impl Cursor {
    /// Creates a cursor from its text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the text, to pass to the next request.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The place of the next page. `None`: this is the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Returns the first `limit` of `items`. If there are more, the cursor is the place after the last returned item.
    ///
    /// A store reads one row more than the limit, to see if there is a next page:
    ///
    /// ```
    /// use awaitly_core::store::{Cursor, Page};
    ///
    /// let rows = vec![43, 42, 41];
    /// let page = Page::cut(rows, 2, |number| Cursor::new(number.to_string()));
    /// assert_eq!(page, Page { items: vec![43, 42], next: Some(Cursor::new("42")) });
    /// ```
    #[must_use]
    pub fn cut(mut items: Vec<T>, limit: usize, place: impl FnOnce(&T) -> Cursor) -> Self {
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
        let place = |item: &u32| Cursor::new(item.to_string());
        assert_eq!(
            Page::cut(vec![3, 2, 1], 2, place),
            Page { items: vec![3, 2], next: Some(Cursor::new("2")) }
        );
        assert_eq!(Page::cut(vec![3, 2], 2, place), Page { items: vec![3, 2], next: None });
    }
}
