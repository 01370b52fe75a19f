//! A consumer that is written, held to the rules that the template and the pages keep; and what is refused.

use super::*;
use template::{RULES, Template, files_below};

/// A copy of what the command reads, in a folder that goes with it.
struct Checkout(Repository);

impl Checkout {
    fn new(of: &str) -> Self {
        let (here, root) = (template::workspace_root(), std::env::temp_dir().join(format!("new-consumer-{}-{of}", std::process::id())));
        let name = |file: &str| (here.join(file), root.join(file));
        for file in [TEMPLATE, README, PICTURE, ASYNCAPI, DRILL, "Cargo.lock"] {
            copy(name(file));
        }
        let folder = |path: &Path| fs::read_dir(path).unwrap().map(|it| it.unwrap()).collect::<Vec<_>>();
        for function in folder(&here.join("functions")) {
            copy(name(&format!("functions/{}/Cargo.toml", function.file_name().to_str().unwrap())));
        }
        copy(name(CATALOGUE));
        for samples in folder(&here.join("events")).into_iter().filter(|it| it.path().is_dir()) {
            for sample in folder(&samples.path()) {
                copy((sample.path(), root.join(sample.path().strip_prefix(&here).unwrap())));
            }
        }
        Self(Repository { root })
    }
    fn add(&self, name: &str, on: &[&str]) -> Result<()> {
        run(&self.0, &Options { name: name.to_owned(), on: on.iter().map(|it| (*it).to_owned()).collect() })
    }
    fn read(&self, path: &str) -> String {
        read(&self.0.root, path).unwrap()
    }
    /// Every file and what is in it.
    fn all(&self) -> Vec<(PathBuf, String)> {
        files_below(&self.0.root, &[]).unwrap().into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0.root));
    }
}

fn copy((from, to): (PathBuf, PathBuf)) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

#[test]
fn the_template_keeps_every_rule_with_two_new_consumers() {
    let copy = Checkout::new("rules");
    copy.add("order-archive", &["order.shipped"]).unwrap();
    let every: Vec<_> = events().map(EventType::stem).collect();
    copy.add("stock-report", &every).unwrap();
    let template = Template::read_at(&copy.0.root).unwrap();
    let complaints: Vec<_> = RULES.iter().flat_map(|rule| rule(&template)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert_eq!(template.heard_at("OrderArchiveQueue").collect::<Vec<_>>(), ["order.shipped"]);
    assert_eq!(template.heard_at("StockReportQueue").count(), every.len());
    assert_eq!(template.sources().count(), Template::read().unwrap().sources().count() + 2);
}

#[test]
fn at_most_six_files_change_outside_of_its_own_folders() {
    let copy = Checkout::new("six");
    let before = copy.all();
    copy.add("order-archive", &["order.shipped", "order.cancelled"]).unwrap();
    let after = copy.all();
    let is_own = |path: &Path| path.components().any(|part| part.as_os_str() == "order-archive");
    let changed: Vec<_> = after.iter().filter(|file| !before.contains(file) && !is_own(&file.0)).collect();
    assert_eq!(changed.len(), 6, "{:?}", changed.iter().map(|(path, _)| path).collect::<Vec<_>>());
    let own: Vec<_> = after.iter().filter(|file| is_own(&file.0)).map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
    let expected = ["order-cancelled.json", "order-shipped.json", "unreadable-body.json", "Cargo.toml", "lib.rs", "main.rs", "tests.rs"];
    assert_eq!(own, expected);
}

#[test]
fn pages_and_picture_name_it_where_they_name_its_siblings() {
    let copy = Checkout::new("pages");
    let concurrency =
        |readme: &str| -> u64 { readme.split_once("ask for up to").unwrap().1.split_once(':').unwrap().0.trim().parse().unwrap() };
    let asked = concurrency(&copy.read(README));
    copy.add("order-archive", &["order.shipped"]).unwrap();
    assert!(copy.read(README).contains("| [order-archive](functions/order-archive/src/lib.rs) | queue |"));
    assert_eq!(concurrency(&copy.read(README)), asked + CONCURRENCY);
    let catalogue = copy.read(CATALOGUE);
    let heard: Vec<_> = EventType::ALL.iter().filter(|event| row(&catalogue, **event).unwrap().contains("`order-archive`")).collect();
    assert_eq!(heard, [&EventType::OrderShipped]);
    assert!(copy.read(ASYNCAPI).contains("  orderArchiveReceives:\n    action: receive\n"));
    assert!(copy.read(DRILL).contains("\norder-archive = { path = \"../../functions/order-archive\" }\n"));
    let sample = copy.read("events/order-archive/order-shipped.json");
    assert!(sample.contains("order-pipeline-OrderArchiveQueue") && !sample.contains("MessageGroupId"));
}

#[test]
fn the_picture_grows_by_a_lane_and_loses_nothing() {
    let before = fs::read_to_string(template::workspace_root().join(PICTURE)).unwrap();
    let consumer = Consumer { name: "order-archive".to_owned(), on: vec![EventType::OrderShipped] };
    let after = consumer.picture(&before).unwrap();
    let boxes = |text: &str| text.matches("<rect class=\"fn\"").count();
    assert_eq!((boxes(&after), after.matches(">order-archive</text>").count()), (boxes(&before) + 1, 1));
    let names = |text: &str| -> Vec<String> { text.split("</text>").filter_map(|it| Some(it.rsplit_once('>')?.1.to_owned())).collect() };
    assert!(names(&before).iter().all(|name| names(&after).contains(name)));
    // No two boxes at one height and place.
    let mut places: Vec<_> = after.lines().filter(|line| line.starts_with("<rect class=")).collect();
    places.sort_unstable();
    let all = places.len();
    places.dedup();
    assert_eq!(places.len(), all);
    let height = |text: &str| -> i64 { text.split_once("viewBox=\"0 0 1200 ").unwrap().1.split_once('"').unwrap().0.parse().unwrap() };
    assert_eq!(height(&after), height(&before) + LANE);
}

#[test]
fn what_is_below_a_line_moves_down_and_nothing_else() {
    assert_eq!(moved_down("<rect x=\"700\" y=\"600\" width=\"700\"/>\n", 600, 6), "<rect x=\"700\" y=\"606\" width=\"700\"/>\n");
    assert_eq!(moved_down("<path d=\"M80 756V906H186\"/>", 700, 6), "<path d=\"M80 762V912H186\"/>");
    assert_eq!(moved_down("<path d=\"M738 52H956\"/>", 700, 6), "<path d=\"M738 52H956\"/>");
    assert_eq!(
        moved_down("<text transform=\"translate(453 800) rotate(-90)\">", 700, 6),
        "<text transform=\"translate(453 806) rotate(-90)\">"
    );
}

#[test]
fn a_wrong_name_is_wrong_usage_and_writes_nothing() {
    let copy = Checkout::new("names");
    let before = copy.all();
    for (name, why) in [
        ("archive", "two words or more"),
        ("Order-Archive", "in lower case"),
        ("order_archive", "with hyphens"),
        ("order--archive", "no name"),
        ("order-4", "no name"),
        ("order-archive-of-everything", "too long"),
        ("order-tracking", "exists already"),
        ("order-email-archive", "begin alike"),
        ("order-api", "a resource that begins like"),
        ("order-events", "OrderEventsTopic"),
        ("lambda-kit", "a crate that this workspace uses"),
        ("serde-json", "a crate that this workspace uses"),
    ] {
        let error = copy.add(name, &["order.shipped"]).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains(why), "{name}: {error}");
        assert!(copy.all() == before, "{name}: something was written");
    }
}

#[test]
fn an_unknown_event_is_wrong_usage_with_the_nearest() {
    let read = |line: &str| crate::cli::read::<Options>(line);
    assert!(read("order-archive --on order.shipped --on order.cancelled").is_ok());
    let error = read("order-archive --on order.shiped").map(drop).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("'order.shipped'"), "{error}");
    assert_eq!(read("order-archive --on customer.signed_up").map(drop).unwrap_err().exit_code(), 2, "it comes by the public topic");
    assert_eq!(read("order-archive").map(drop).unwrap_err().exit_code(), 2, "it hears nothing");
}

#[test]
fn a_file_that_cannot_be_written_leaves_all_as_it_was() {
    let copy = Checkout::new("undo");
    let consumer = Consumer::new("order-archive", &["order.shipped".to_owned()], &copy.0).unwrap();
    let mut files = consumer.files(&copy.0.root).unwrap();
    // A folder stands in its place.
    files.push(File { path: "events".into(), before: Some(String::new()), after: String::new() });
    let before = copy.all();
    assert!(write_all(&copy.0.root, &files).unwrap_err().to_string().contains("nothing was changed"));
    assert!(copy.all() == before && !copy.0.root.join("functions/order-archive").exists());
    assert!(!copy.0.root.join("events/order-archive").exists());
}

#[test]
fn a_long_list_of_events_is_laid_out_as_rustfmt_does() {
    let every = Consumer { name: "order-archive".to_owned(), on: events().collect() };
    let lib = every.crate_files().into_iter().find(|file| file.path.ends_with("lib.rs")).unwrap().after;
    assert!(lib.lines().all(|line| line.chars().count() <= LINE_MAX), "{lib}");
    assert!(lib.contains("\n            | EventType::OrderShipped\n"), "{lib}");
}
