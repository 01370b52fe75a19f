//! Sentences, and whether each clearly asks to cancel.

use super::*;
use proptest::prelude::*;

const ORDER: &str = "22705e6b-fcc3-58dd-9ec8-55c8e45275c1";

fn wishes(own: &str) -> bool {
    asks_to_cancel(own, &ORDER.parse().unwrap(), &["Ada Example", "Ada L. Example"])
}

#[test]
fn a_clear_wish_is_understood() {
    for own in [
        "cancel",
        "Cancel.",
        "CANCEL PLEASE",
        "Please cancel!",
        "Yes, please cancel it",
        "please cancel my order",
        "Please cancel my order, thank you very much",
        "I want to cancel",
        "I’d like to cancel my order. Thanks in advance!",
        "Hi,\n\nI would like to cancel the whole order.\n\nKind regards,\nAda Example",
        "Hello Order Pipeline,\ncould you please cancel this order?\n\nBest,\nAda",
        "Dear Sir or Madam,\nplease cancel order no. 22705e6b-fcc3-58dd-9ec8-55c8e45275c1.\nYours sincerely\nA. Example",
        "cancel 22705E6B-FCC3-58DD-9EC8-55C8E45275C1",
        "Good morning, kindly cancel everything asap 🙏",
    ] {
        assert!(wishes(own), "{own}");
    }
}

#[test]
fn what_is_not_clear_is_for_a_person() {
    for own in [
        "",
        "don't cancel",
        "Don’t cancel my order",
        "do not cancel",
        "please don't cancel, thanks",
        "never cancel",
        "how can I cancel?",
        "Can I cancel my order?",
        "Cancel my order?",
        "cancel?",
        "I want to cancel my dentist",
        "I want to cancel my dentist appointment",
        "I wanted to cancel",
        "cancel the teapot",
        "cancel my order of mugs",
        "cancel one of the mugs",
        "please cancel my order if it has not shipped",
        "Cancel please. Actually no, keep it.",
        "Cancel please\n\nno",
        "Cancel please, and send me two teapots",
        "cancel my subscription",
        "cancel the cancellation",
        "cancelled?",
        "Was my order cancelled",
        "Why did you cancel my order",
        "please cancel order ee3717c6-3e6f-58b0-ad82-7756503e0a32",
        "cancel order 4711",
        "please cancel my order no thanks",
        "Thanks! I will not cancel",
        "My sister said: cancel",
        "cancel\n\nBob",
        "stornieren",
        "can\u{200b}cel",
        "c\u{336}a\u{336}n\u{336}c\u{336}e\u{336}l\u{336}",
        "cancel\u{336}",
        "~~cancel~~",
        "cancel 🚫",
        "cancel 👎",
        "\u{202e}cancel",
    ] {
        assert!(!wishes(own), "{own}");
    }
}

#[test]
fn a_subject_may_be_ours_or_say_what_it_is_about() {
    let (order, id) = (testkit::order::order(ORDER), ORDER.parse().unwrap());
    let ours = Ours::of(&order, &"orders@example.com".parse().unwrap(), &[]);
    let adds_nothing = |subject: &str| adds_nothing(subject, &id, &ours);
    for subject in [
        "",
        "Re: Order received: 24.00 EUR (22705e6b-fcc3-58dd-9ec8-55c8e45275c1)",
        "AW: Re: [EXTERNAL] Order cancelled: out of stock (22705e6b-fcc3-58dd-9ec8-55c8e45275c1)",
        "Re: Your order",
        "Please cancel my order!",
        "Order number 22705e6b-fcc3-58dd-9ec8-55c8e45275c1",
    ] {
        assert!(adds_nothing(subject), "{subject}");
    }
    for subject in [
        "Do not cancel",
        "Re: Order received: do not cancel",
        "Re: Order received: 25.00 EUR (22705e6b-fcc3-58dd-9ec8-55c8e45275c1)",
        "cancel?? no",
        "Out of office",
        "cancel 🚫",
        "Order 4711",
    ] {
        assert!(!adds_nothing(subject), "{subject}");
    }
}

#[test]
fn no_name_says_no() {
    let order = ORDER.parse().unwrap();
    assert!(asks_to_cancel("cancel please, Kim", &order, &["Kim No"]));
    assert!(!asks_to_cancel("cancel please, no", &order, &["Kim No"]));
    assert!(!asks_to_cancel("cancel please, wait", &order, &["Wait Dont Example"]));
}

proptest! {
    #[test]
    fn a_wish_with_a_word_of_doubt_anywhere_is_none(at in 0usize..8, doubt in "(not|don't|no|never|unless|if|but|except|only|how|why|instead|later|teapot|bob)") {
        let mut words: Vec<_> = "hi please cancel my order thanks ada".split(' ').collect();
        words.insert(at.min(words.len()), &doubt);
        prop_assert!(!wishes(&words.join(" ")), "{words:?}");
    }

    #[test]
    fn whatever_comes_there_is_an_answer(own in "(cancel|please|my|order|\\PC){0,50}", name in "\\PC{0,20}") {
        asks_to_cancel(&own, &ORDER.parse().unwrap(), &[&name]);
    }
}
