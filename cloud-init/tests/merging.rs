//! Documents are merged as the real cloud-init merges them.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use replank_cloud_init::merge::{MergeError, Merging};
use serde_json::{Map, Value, json};

mod tools;

/// How many pairs are merged by both.
const PAIRS: usize = 3000;

/// cloud-init's own way through `CloudConfigPartHandler._merge_part`; `null` where it gives up.
const THEIRS: &str = r"
import importlib.util, json, sys
from cloudinit import mergers
out = []
for old, new in json.load(open(sys.argv[1])):
    try:
        how = mergers.dict_extract_mergers(new) or mergers.string_extract_mergers('dict(replace)+list()+str()')
        out.append({'merged': mergers.construct(how).merge(old, new)})
    except Exception:
        out.append(None)
print(json.dumps(out))
";

fn ours(old: Value, mut new: Value) -> Option<Value> {
    let merging = Merging::take(new.as_object_mut()?).ok()?;
    merging.merge(old, new).ok()
}

#[test]
fn the_real_cloud_init_merges_the_same() {
    let Some(real) = tools::cloud_init::CloudInit::find("the_real_cloud_init_merges_the_same") else {
        return;
    };
    let mut runner = TestRunner::deterministic();
    let pairs: Vec<Value> = (0..PAIRS)
        .map(|_| {
            let old = map().new_tree(&mut runner).unwrap().current();
            let mut new = map().new_tree(&mut runner).unwrap().current();
            if let Some(how) = how().new_tree(&mut runner).unwrap().current() {
                new["merge_how"] = how;
            }
            json!([old, new])
        })
        .collect();
    let theirs = real.python(THEIRS, &serde_json::to_vec(&pairs).unwrap());
    let (mut same, mut refused) = (0, 0);
    for (pair, theirs) in pairs.iter().zip(theirs.as_array().unwrap()) {
        match ours(pair[0].clone(), pair[1].clone()) {
            Some(merged) => {
                assert_eq!(json!({"merged": merged}), *theirs, "{pair}");
                same += 1;
            }
            // We refuse what they give up, and what they put together letter by letter.
            None => refused += 1,
        }
    }
    assert!(same > PAIRS / 2 && refused < PAIRS / 4, "{same} the same, {refused} refused");
}

/// Few names, so that documents meet.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        (0..9).prop_map(|n| json!(n)),
        "[xy]{0,2}".prop_map(|s| json!(s)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn map() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[abc]", value(), 0..4)
        .prop_map(|m| Value::Object(m.into_iter().collect::<Map<_, _>>()))
}

fn how() -> impl Strategy<Value = Option<Value>> {
    let setting = prop_oneof![
        Just("append"),
        Just("prepend"),
        Just("replace"),
        Just("no_replace"),
        Just("recurse_str"),
        Just("recurse_dict"),
        Just("recurse_array"),
        Just("recurse_list"),
        Just("allow_delete"),
    ];
    let settings = proptest::collection::vec(setting, 0..3);
    let merger = (prop_oneof![Just("dict"), Just("list"), Just("str")], settings);
    proptest::option::weighted(0.9, (0..3, proptest::collection::vec(merger, 0..4))).prop_map(|rules| {
        let (form, rules) = rules?;
        Some(match form {
            0 => json!(
                rules
                    .iter()
                    .map(|(name, s)| format!("{name}({})", s.join(",")))
                    .collect::<Vec<_>>()
                    .join("+")
            ),
            1 => rules.iter().map(|(name, s)| json!({"name": name, "settings": s})).collect(),
            _ => rules
                .iter()
                .map(|(name, s)| std::iter::once(name).chain(s).copied().collect::<Vec<_>>())
                .map(Value::from)
                .collect(),
        })
    })
}

#[test]
fn without_rules_a_key_that_both_have_is_replaced_whole() {
    let merged = ours(json!({"runcmd": ["a"], "users": [1]}), json!({"runcmd": ["b"]})).unwrap();
    assert_eq!(merged, json!({"runcmd": ["b"], "users": [1]}));
}

#[test]
fn lists_are_continued_where_a_part_says_so() {
    let how = json!([
        {"name": "list", "settings": ["append"]},
        {"name": "dict", "settings": ["no_replace", "recurse_list"]},
    ]);
    let merged = ours(json!({"runcmd": ["a"]}), json!({"runcmd": ["b"], "merge_how": how})).unwrap();
    assert_eq!(merged, json!({"runcmd": ["a", "b"]}));
}

#[test]
fn rules_that_are_none_are_refused() {
    for wrong in ["list", "list(append", "(append)"] {
        assert!(matches!(Merging::written(wrong), Err(MergeError::Rule(_))), "{wrong}");
    }
    assert_eq!(Merging::written("set()"), Err(MergeError::Unknown("set".into())));
    assert_eq!(
        ours(json!({"a": [1]}), json!({"a": 1, "merge_how": "dict(recurse_list)+list(append)"})),
        Some(json!({"a": [1]}))
    );
    let Err(error) = Merging::written("list(append)").unwrap().merge(json!([1]), json!("x")) else {
        panic!("a text can't continue a list")
    };
    assert_eq!(error.to_string(), "list(append) can't put a text after what stands there");
}
