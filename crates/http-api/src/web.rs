//! The web client out of the binary: files by name, entity tags, compressed variants. It opens no file.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::answer::Refusal;

/// The built web client, or one page that says how to get it. A name with `.gz` is a file's compressed form.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/web"]
struct Files;

const PAGE: &str = "index.html";
/// The build names these after their contents.
const HASHED: &str = "assets/";

pub(crate) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Response {
    match *method {
        Method::GET | Method::HEAD => {}
        _ => return Refusal::method_not_allowed().into_response(),
    }
    let name = path.trim_start_matches('/');
    let name = if name.is_empty() { PAGE } else { name };
    let plain = if name.ends_with(".gz") {
        None
    } else {
        Files::get(name)
    };
    match plain {
        Some(file) => serve(name, &file, method, headers),
        None if is_page_address(name) && wants_page(headers) => match Files::get(PAGE) {
            Some(page) => serve(PAGE, &page, method, headers),
            None => Refusal::not_found().into_response(),
        },
        None => Refusal::not_found().into_response(),
    }
}

fn serve(name: &str, file: &EmbeddedFile, method: &Method, headers: &HeaderMap) -> Response {
    let hashed = name.starts_with(HASHED);
    let packed = Files::get(&format!("{name}.gz")).filter(|_| accepts_gzip(headers));
    let tag = entity_tag(file, packed.is_some());
    let mut response = Response::new(Body::empty());
    let set = response.headers_mut();
    set.insert(header::ETAG, tag.clone());
    let keep = if hashed {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    set.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_known(headers, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    set.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(content_type(name)),
    );
    if packed.is_some() {
        set.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let data = packed.map_or_else(|| file.data.clone(), |packed| packed.data);
    set.insert(header::CONTENT_LENGTH, data.len().into());
    if *method != Method::HEAD {
        *response.body_mut() = match data {
            std::borrow::Cow::Borrowed(data) => Body::from(data),
            std::borrow::Cow::Owned(data) => Body::from(data),
        };
    }
    response
}

/// An address inside the client (`/@bob`, `/setup`): letters without an extension, so that a missing file stays missing.
fn is_page_address(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    let file = last.contains('.') && !last.starts_with('@');
    !file
        && !name.starts_with(HASHED)
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~@/".contains(&byte))
}

fn wants_page(headers: &HeaderMap) -> bool {
    listed(headers, header::ACCEPT).any(|kind| kind.eq_ignore_ascii_case("text/html"))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let refused = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip;q=0,") || value.ends_with("gzip;q=0"));
    !refused
        && listed(headers, header::ACCEPT_ENCODING)
            .any(|coding| coding.eq_ignore_ascii_case("gzip"))
}

/// The members of a header that is a list, without their parameters.
fn listed(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|member| member.split(';').next().unwrap_or_default().trim())
}

fn entity_tag(file: &EmbeddedFile, packed: bool) -> HeaderValue {
    let hash = file.metadata.sha256_hash();
    let digits: String = hash
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let form = if packed { "-gz" } else { "" };
    HeaderValue::from_str(&format!("\"{digits}{form}\""))
        .unwrap_or(HeaderValue::from_static("\"0\""))
}

fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    listed(headers, header::IF_NONE_MATCH).any(|known| {
        known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag.as_bytes()
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(response: &Response, name: header::HeaderName) -> &str {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    #[test]
    fn only_files_named_after_their_contents_are_kept_for_ever() {
        let page = Files::get(PAGE).expect("the build leaves a page in any case");
        let hashed = serve(
            "assets/index-1a2b3c.js",
            &page,
            &Method::GET,
            &HeaderMap::new(),
        );
        assert_eq!(
            header(&hashed, header::CACHE_CONTROL),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(
            header(&hashed, header::CONTENT_TYPE),
            "text/javascript; charset=utf-8"
        );
        let plain = serve(PAGE, &page, &Method::GET, &HeaderMap::new());
        assert_eq!(header(&plain, header::CACHE_CONTROL), "no-cache");
    }

    /// Of whatever this build embeds: each file is found, and a compressed form is a variant, never a file.
    #[test]
    fn every_embedded_file_is_served_in_each_of_its_forms() {
        let mut packed_headers = HeaderMap::new();
        packed_headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("br, gzip;q=0.5"),
        );
        for name in Files::iter() {
            let path = format!("/{name}");
            let plain = answer(&Method::GET, &path, &HeaderMap::new());
            if name.ends_with(".gz") {
                assert_eq!(plain.status(), StatusCode::NOT_FOUND, "{name}");
                continue;
            }
            assert_eq!(plain.status(), StatusCode::OK, "{name}");
            assert_ne!(
                header(&plain, header::CONTENT_TYPE),
                "application/octet-stream",
                "{name}"
            );
            assert_eq!(header(&plain, header::CONTENT_ENCODING), "");
            let packed = answer(&Method::GET, &path, &packed_headers);
            let has_packed = Files::get(&format!("{name}.gz")).is_some();
            assert_eq!(
                header(&packed, header::CONTENT_ENCODING) == "gzip",
                has_packed,
                "{name}"
            );
            assert_eq!(
                header(&packed, header::ETAG) != header(&plain, header::ETAG),
                has_packed,
                "{name}"
            );
        }
    }

    #[test]
    fn a_coding_that_is_refused_is_not_used() {
        for (asked, accepted) in [
            ("gzip", true),
            ("GZIP;q=1, br", true),
            ("gzip;q=0", false),
            ("gzip;q=0, br", false),
            ("br", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(asked));
            assert_eq!(accepts_gzip(&headers), accepted, "{asked}");
        }
    }
}
