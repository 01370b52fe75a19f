//! Hands what libFuzzer makes up to the target of its name.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::mail(input));
