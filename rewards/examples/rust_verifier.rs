//! A verifier in Rust: 1 when the last number of the answer is the wanted one.
//!
//!   rustc --edition 2021 -O --crate-type cdylib -o libmine.so rewards/examples/rust_verifier.rs
//!   hone score --verifier 'plugin(path="./libmine.so")' --input answers.jsonl
use std::{borrow::Cow, ffi::c_void, os::raw::{c_char, c_int}, ptr, slice};

#[repr(C)] pub struct Text { data: *const u8, size: usize }
#[repr(C)] pub struct Sample { size: usize, prompt: Text, completion: Text, answer: Text, metadata: Text }
#[repr(C)] pub struct Verdict { size: usize, score: f64, reason: *const c_char, parts: usize, names: *const *const c_char, values: *const f64 }

fn read(text: &Text) -> Cow<'_, str> { unsafe { String::from_utf8_lossy(slice::from_raw_parts(text.data, text.size)) } }

#[no_mangle] pub extern "C" fn hone_verifier_abi_version() -> u32 { 1 }
#[no_mangle] pub extern "C" fn hone_verifier_new(_options: *const c_char, _error: &mut *const c_char) -> *mut c_void {
    ptr::NonNull::dangling().as_ptr() // nothing to keep between calls, and null would be a failure
}

#[no_mangle] pub extern "C" fn hone_verifier_verify(_verifier: *mut c_void, sample: &Sample, verdict: &mut Verdict) -> c_int {
    let (completion, answer) = (read(&sample.completion), read(&sample.answer));
    if answer.is_empty() {
        verdict.reason = b"the line has no answer to compare with\0".as_ptr().cast();
        return 1;
    }
    let last = completion.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty()).last();
    verdict.score = if last == Some(&*answer) { 1.0 } else { 0.0 };
    0
}

#[no_mangle] pub extern "C" fn hone_verifier_free(_verifier: *mut c_void) {}
