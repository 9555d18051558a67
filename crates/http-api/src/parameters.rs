//! The parameters behind the `?` of an address.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

/// Names and values, in order; at most as many bytes as a request's header may have. What is not UTF-8 is replaced, and so
/// finds nothing.
pub(crate) struct Parameters(pub(crate) Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = parts.uri.query().unwrap_or_default();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Ok(Self(pairs.map(parameter).collect()))
    }
}

fn parameter(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decoded(name), decoded(value))
}

/// As forms are encoded (https://url.spec.whatwg.org/#application/x-www-form-urlencoded).
fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_nothing_is_refused() {
        for (pair, name, value) in [
            ("q=%EA%B9%80+b", "q", "김 b"),
            ("q", "q", ""),
            ("=x", "", "x"),
            ("a=b=c%3D", "a", "b=c="),
            ("q=%ff%2", "q", "\u{fffd}%2"),
        ] {
            assert_eq!(
                parameter(pair),
                (name.to_owned(), value.to_owned()),
                "{pair}"
            );
        }
    }
}
