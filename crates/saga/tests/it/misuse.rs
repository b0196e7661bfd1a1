//! What the compiler says to somebody who got it wrong.

#[test]
fn misuse_is_told_in_our_words() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/it/misuse/*.rs");
}
