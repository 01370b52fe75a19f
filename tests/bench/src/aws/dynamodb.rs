//! DynamoDB's JSON over rows in memory: conditions are evaluated and images returned, because functions read them.
//!
//! The expressions are [`testkit::cloud`]'s. It refuses what those do not know, so that no write passes unchecked.
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/>)

use super::{answers::StubAnswer, units::Units};
use aws_sdk_dynamodb::types::{self, AttributeValue, ReturnValuesOnConditionCheckFailure::AllOld};
use lambda_kit::{
    Ambient as _, Real,
    dynamodb::{Fate, Item},
};
use serde_json::{Map, Value, json};
use simulated_cloud::write::Write;
use std::collections::{BTreeMap, HashMap};

/// The mailbox of every customer.
const MAILBOX: &str = "ada@example.com";
/// When every reader of a campaign has confirmed.
const CONFIRMED_AT: &str = "2026-01-01T00:01:00Z";
/// The one SKU of which nothing is there.
pub const SOLD_OUT: &str = "SOLD-OUT";

/// All tables: what was written in this run, and what stands there anyway.
#[derive(Debug)]
pub struct Tables {
    /// The name of the partition key, by table.
    keys: BTreeMap<String, String>,
    /// By table and key.
    rows: HashMap<(String, String), Item>,
    /// What was read and written since somebody looked.
    pub(super) units: Units,
}

/// A refusal in DynamoDB's words, or what is not known here.
type Answered = Result<StubAnswer, String>;

impl Tables {
    pub(super) fn new(keys: BTreeMap<String, String>) -> Self {
        Self { keys, rows: HashMap::new(), units: Units::default() }
    }

    pub(super) fn answer(&mut self, operation: &str, body: &[u8]) -> Answered {
        let asked: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        match operation {
            "GetItem" => {
                let item = self.find(text(&asked["TableName"])?, &asked["Key"])?;
                self.units.read(item.as_ref(), asked["ConsistentRead"] == true);
                Ok(StubAnswer::json(200, &item.map_or_else(|| json!({}), |item| json!({"Item": to_json(&item)}))))
            }
            "BatchGetItem" => self.batch_get(&asked),
            "PutItem" | "UpdateItem" => self.single(operation, &asked),
            "TransactWriteItems" => self.transact(&asked),
            _ => Err("no such operation".to_owned()),
        }
    }

    fn batch_get(&mut self, asked: &Value) -> Answered {
        let mut found = Map::new();
        for (table, keys) in asked["RequestItems"].as_object().into_iter().flatten() {
            let items = keys["Keys"].as_array().into_iter().flatten().map(|key| self.find(table, key));
            let mut items = items.collect::<Result<Vec<_>, _>>()?;
            if table == "CustomersTable" {
                // A campaign asks, and its readers have confirmed.
                items
                    .iter_mut()
                    .flatten()
                    .for_each(|item| _ = item.insert("double_opt_in_at".to_owned(), AttributeValue::S(CONFIRMED_AT.to_owned())));
            }
            for item in &items {
                self.units.read(item.as_ref(), keys["ConsistentRead"] == true);
            }
            found.insert(table.clone(), items.iter().flatten().map(to_json).collect());
        }
        Ok(StubAnswer::json(200, &json!({"Responses": found, "UnprocessedKeys": {}})))
    }

    fn single(&mut self, operation: &str, asked: &Value) -> Answered {
        let action = Action::read(operation.trim_end_matches("Item"), asked)?;
        match self.attempt(&action, false)? {
            Err(Fate::ConditionFailed(old)) => {
                let mut refused = json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                    "message": "The conditional request failed"});
                if let Some(old) = old {
                    refused["Item"] = to_json(&old);
                }
                Ok(StubAnswer::json(400, &refused))
            }
            Err(fate) => Err(format!("a single write cannot end in {fate:?}")),
            Ok(new) => {
                let wants_new = asked["ReturnValues"] == "ALL_NEW";
                let answer = new.as_ref().filter(|_| wants_new).map_or_else(|| json!({}), |(_, new)| json!({"Attributes": to_json(new)}));
                self.rows.extend(new);
                Ok(StubAnswer::json(200, &answer))
            }
        }
    }

    fn transact(&mut self, asked: &Value) -> Answered {
        let mut rows = Vec::new();
        let mut reasons = Vec::new();
        for action in asked["TransactItems"].as_array().into_iter().flatten() {
            let (kind, action) = action.as_object().and_then(|map| map.iter().next()).ok_or("an action is empty")?;
            reasons.push(match self.attempt(&Action::read(kind, action)?, true)? {
                Ok(row) => {
                    rows.extend(row);
                    json!({"Code": "None"})
                }
                Err(Fate::ConditionFailed(old)) => {
                    let mut reason = json!({"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"});
                    if let Some(old) = old {
                        reason["Item"] = to_json(&old);
                    }
                    reason
                }
                Err(fate) => return Err(format!("an action cannot end in {fate:?}")),
            });
        }
        if reasons.iter().any(|reason| reason["Code"] != "None") {
            return Ok(StubAnswer::json(
                400,
                &json!({"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                    "Message": "Transaction cancelled", "CancellationReasons": reasons}),
            ));
        }
        self.rows.extend(rows);
        Ok(StubAnswer::json(200, &json!({})))
    }

    /// The row that the action would leave, none where it only looks; or how its condition fails.
    #[expect(clippy::type_complexity, reason = "a row and its place")]
    fn attempt(&mut self, action: &Action, in_transaction: bool) -> Result<Result<Option<((String, String), Item)>, Fate>, String> {
        let write = match &action.write {
            OneOf::Put(put) => Write::put(put, |table| self.keys.get(table).map(String::as_str))?,
            OneOf::Update(update) => Write::update(update)?,
        };
        let place = (write.table.to_owned(), write.key.to_owned());
        let old = self.row(&place.0, &place.1, action.may_create)?;
        let attempted = write.attempt(old.as_ref())?.map(|set| (!action.only_looks).then(|| (place, write.leave(old.clone(), set))));
        let new = attempted.as_ref().ok().and_then(Option::as_ref).map(|(_, new)| new);
        self.units.write(old.as_ref(), new, in_transaction);
        Ok(attempted)
    }

    fn find(&self, table: &str, key: &Value) -> Result<Option<Item>, String> {
        let name = self.keys.get(table).ok_or_else(|| format!("there is no table {table}"))?;
        self.row(table, text(&key[name]["S"])?, false)
    }

    /// What was written, or what stands there anyway: orders and customers that others have stored, and goods, of which
    /// everything is sold and nothing ever runs out but [`SOLD_OUT`]. What `is_created` is an order or a customer that nobody has stored yet.
    fn row(&self, table: &str, key: &str, is_created: bool) -> Result<Option<Item>, String> {
        let row = self.rows.get(&(table.to_owned(), key.to_owned())).cloned();
        let standing = match table {
            // What is measured is the function, not how many mails an address gets in an hour.
            "MailLimitsTable" => return Ok(None),
            _ if row.is_some() => return Ok(row),
            "OrdersTable" | "CustomersTable" if is_created => return Ok(None),
            // Just received: an old one would be one that something is wrong with.
            "OrdersTable" => testkit::shop::stored_order(key, "MUG-BLUE", MAILBOX, &Real.now().to_string()),
            // Just signed up, with a question that the welcome asks.
            "CustomersTable" => testkit::shop::stored_asked_customer(key, MAILBOX, &Real.now().to_string()),
            "StockTable" if key == SOLD_OUT => return Ok(None),
            "StockTable" => json!({"sku": {"S": key}, "available": {"N": "1000000000"}}),
            "CatalogueTable" => json!({"sku": {"S": key}, "unit_price_minor": {"N": "1200"}, "currency": {"S": "EUR"}}),
            _ => return Ok(None),
        };
        item(&standing).map(Some)
    }
}

/// One write, as the SDK's types have it.
struct Action {
    write: OneOf,
    only_looks: bool,
    /// Whether it is how orders and customers are first stored.
    may_create: bool,
}

enum OneOf {
    Put(types::Put),
    Update(types::Update),
}

impl Action {
    fn read(kind: &str, asked: &Value) -> Result<Self, String> {
        let table = text(&asked["TableName"])?;
        let condition = asked["ConditionExpression"].as_str().map(str::to_owned);
        let names = asked["ExpressionAttributeNames"].as_object().map(|names| {
            names.iter().map(|(short, name)| (short.clone(), name.as_str().unwrap_or_default().to_owned())).collect::<HashMap<_, _>>()
        });
        let values = if asked["ExpressionAttributeValues"].is_null() { None } else { Some(item(&asked["ExpressionAttributeValues"])?) };
        // Signing up is an update, and so is what becomes of a customer later, which asks that there is one.
        let signs_up = table == "CustomersTable" && !condition.as_deref().is_some_and(|it| it.contains("attribute_exists"));
        let wants_old = (asked["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD").then_some(AllOld);
        let write = if kind == "Put" {
            let put = types::Put::builder().table_name(table).set_item(Some(item(&asked["Item"])?)).set_condition_expression(condition);
            let put = put.set_expression_attribute_names(names).set_expression_attribute_values(values);
            OneOf::Put(put.set_return_values_on_condition_check_failure(wants_old).build().map_err(|error| error.to_string())?)
        } else if matches!(kind, "Update" | "ConditionCheck") {
            // A check is an update of nothing.
            let expression = asked["UpdateExpression"].as_str().unwrap_or_default();
            let update = types::Update::builder().table_name(table).set_key(Some(item(&asked["Key"])?)).update_expression(expression);
            let update = update.set_condition_expression(condition).set_expression_attribute_names(names);
            let update = update.set_expression_attribute_values(values).set_return_values_on_condition_check_failure(wants_old);
            OneOf::Update(update.build().map_err(|error| error.to_string())?)
        } else {
            return Err(format!("no such action: {kind}"));
        };
        Ok(Self { write, only_looks: kind == "ConditionCheck", may_create: kind == "Put" || signs_up })
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "a text is missing".to_owned())
}

fn item(json: &Value) -> Result<Item, String> {
    let map = json.as_object().ok_or("an item is no map")?;
    map.iter().map(|(name, value)| Ok((name.clone(), attribute(value)?))).collect()
}

fn attribute(json: &Value) -> Result<AttributeValue, String> {
    let (kind, value) = json.as_object().and_then(|map| map.iter().next()).ok_or("an attribute has no type")?;
    let list = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = || list().iter().map(|value| text(value).map(str::to_owned)).collect::<Result<Vec<_>, _>>();
    Ok(match kind.as_str() {
        "S" => AttributeValue::S(text(value)?.to_owned()),
        "N" => AttributeValue::N(text(value)?.to_owned()),
        "BOOL" => AttributeValue::Bool(value.as_bool().ok_or("a truth is missing")?),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(texts()?),
        "L" => AttributeValue::L(list().iter().map(attribute).collect::<Result<_, _>>()?),
        "M" => AttributeValue::M(item(value)?),
        other => return Err(format!("attributes of the type {other} are not known here")),
    })
}

fn to_json(item: &Item) -> Value {
    item.iter().map(|(name, value)| (name.clone(), attribute_to_json(value))).collect::<Map<_, _>>().into()
}

fn attribute_to_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(digits) => json!({"N": digits}),
        AttributeValue::Bool(truth) => json!({"BOOL": truth}),
        AttributeValue::Ss(set) => json!({"SS": set}),
        AttributeValue::L(list) => json!({"L": list.iter().map(attribute_to_json).collect::<Vec<_>>()}),
        AttributeValue::M(map) => json!({"M": to_json(map)}),
        // `attribute` lets nothing else in.
        _ => json!({"NULL": true}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        Tables::new(["Orders", "StockTable"].map(|name| (name.to_owned(), "id".to_owned())).into())
    }
    fn ask(tables: &mut Tables, operation: &str, asked: &Value) -> (u16, Value) {
        let answer = tables.answer(operation, asked.to_string().as_bytes()).unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }
    fn creation() -> Value {
        json!({"TableName": "Orders", "Item": {"id": {"S": "1"}, "facts": {"L": [{"M": {"n": {"N": "5"}}}]}},
            "ConditionExpression": "attribute_not_exists(#key)", "ExpressionAttributeNames": {"#key": "id"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
    }

    #[test]
    fn an_item_is_created_once_and_then_found() {
        let mut tables = tables();
        assert_eq!(ask(&mut tables, "PutItem", &creation()), (200, json!({})));
        let (status, refused) = ask(&mut tables, "PutItem", &creation());
        assert_eq!((status, &refused["Item"]), (400, &creation()["Item"]));
        let (_, found) = ask(&mut tables, "GetItem", &json!({"TableName": "Orders", "Key": {"id": {"S": "1"}}}));
        assert_eq!(found["Item"], creation()["Item"]);
    }

    #[test]
    fn a_transaction_is_done_whole_or_not_at_all() {
        let mut tables = tables();
        let take = json!({"Update": {"TableName": "StockTable", "Key": {"id": {"S": "MUG"}}, "UpdateExpression": "SET #n0 = #n0 - :v0",
            "ConditionExpression": "#n0 >= :v0", "ExpressionAttributeNames": {"#n0": "available"},
            "ExpressionAttributeValues": {":v0": {"N": "2"}}}});
        let transaction = json!({"TransactItems": [{"Put": creation()}, take]});
        assert_eq!(ask(&mut tables, "TransactWriteItems", &transaction), (200, json!({})));
        let (status, cancelled) = ask(&mut tables, "TransactWriteItems", &transaction);
        assert_eq!((status, &cancelled["CancellationReasons"][1]["Code"]), (400, &json!("None")));
        let (_, left) = ask(&mut tables, "GetItem", &json!({"TableName": "StockTable", "Key": {"id": {"S": "MUG"}}}));
        assert_eq!(left["Item"]["available"]["N"], "999999998");
    }

    #[test]
    fn what_cannot_be_evaluated_is_no_answer() {
        let mut asked = creation();
        asked["ConditionExpression"] = json!("size(#key) > :v0");
        assert!(tables().answer("PutItem", asked.to_string().as_bytes()).is_err());
        assert!(tables().answer("Query", b"{}").is_err());
    }
}
