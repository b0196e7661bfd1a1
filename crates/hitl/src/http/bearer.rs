//! Bearer tokens of the API, and the people to whom they belong.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::receive::single;
use crate::signature::{SecretError, long_enough};

/// The digests of the tokens, with their people. With digests, neither a comparison nor a memory dump reveals a token.
#[derive(Default)]
pub(super) struct Bearers(Vec<([u8; 32], Arc<str>)>);

impl Bearers {
    /// Adds a token from the configuration.
    pub(super) fn add(&mut self, token: &str, person: Arc<str>) -> Result<(), SecretError> {
        long_enough(token.as_bytes())?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Unsendable);
        }
        self.insert(token, person);
        Ok(())
    }

    /// Adds a token that this program generated, without checks.
    pub(super) fn insert(&mut self, token: &str, person: Arc<str>) {
        let digest = digest(token);
        self.0.retain(|(known, _)| *known != digest);
        self.0.push((digest, person));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the person whose token the request carries.
    pub(super) fn person(&self, headers: &HeaderMap) -> Result<Arc<str>, Unauthorized> {
        let Some(shown) = single(headers, header::AUTHORIZATION.as_str()).map_err(|_| Unauthorized::Wrong)?
        else {
            return Err(Unauthorized::Missing);
        };
        let (scheme, token) = shown.split_once(' ').ok_or(Unauthorized::Wrong)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unauthorized::Wrong);
        }
        let shown = digest(token.trim());
        let known = self.0.iter().find(|(known, _)| is_same(known, &shown));
        known.map(|(_, person)| Arc::clone(person)).ok_or(Unauthorized::Wrong)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Compares in constant time.
fn is_same(known: &[u8; 32], shown: &[u8; 32]) -> bool {
    known.iter().zip(shown).fold(0, |differ, (known, shown)| differ | (known ^ shown)) == 0
}

/// A request without a token, or with an unknown one.
pub(super) enum Unauthorized {
    Missing,
    Wrong,
}

impl IntoResponse for Unauthorized {
    fn into_response(self) -> Response {
        let (asked, message) = match self {
            Self::Missing => ("Bearer", "send a token: `authorization: Bearer ..`"),
            Self::Wrong => {
                ("Bearer error=\"invalid_token\"", "this token is unknown: check the header `authorization`")
            }
        };
        let mut response = Problem::new(401, "unauthorized", message).into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(asked));
        response
    }
}

impl fmt::Debug for Bearers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, person)| person)).finish()
    }
}
