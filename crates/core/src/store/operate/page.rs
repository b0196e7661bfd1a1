use serde::{Deserialize, Serialize};

/// A place in a list, to go on from. It holds for the store and the query that it came from; a text that is no
/// place of a list is [`StoreError::BadCursor`](crate::store::StoreError::BadCursor).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(Box<str>);

impl Cursor {
    /// The cursor with that text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text, to hand on to who asks for the next page.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// Where the next part begins. `None`: there is none.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The first `limit` of `items`, with the place behind the last of them where there are more.
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
    fn a_page_that_is_full_says_where_the_next_begins() {
        let place = |item: &u32| Cursor::new(item.to_string());
        assert_eq!(
            Page::cut(vec![3, 2, 1], 2, place),
            Page { items: vec![3, 2], next: Some(Cursor::new("2")) }
        );
        assert_eq!(Page::cut(vec![3, 2], 2, place), Page { items: vec![3, 2], next: None });
    }
}
