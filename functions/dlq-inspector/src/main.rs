//! Wires `dlq-inspector`: the stack's configuration, queues and topics, the consumers' logs, the archive and the alerts.

use dlq_inspector::inspector::{Inspector, aws::Aws};
use domain::command::Power;
use lambda_kit::{Error, Real, config::Env, deadline, warm_up};
use lambda_runtime::{LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let ports = Aws::from_env(&mut env, &config);
    env.finish()?;
    warm_up(ports.openings()).await;
    let stack_name = ports.stack_name();
    let inspector = &Inspector { ports, stack_name };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<serde_json::Value>| async move {
        let deadline = deadline(&Real, &event.context);
        let power = Power::of(&event.context.invoked_function_arn);
        let handling = inspector.handle(event.payload, &event.context.request_id, power, deadline);
        // Boxed: the futures of handler, SDK and runtime nest deeper than the compiler follows in one piece.
        Ok::<_, Error>(Box::pin(handling).await?)
    }))
    .await
}
