//! The client async-openai for Rust: chat, streams, schemas, tools, errors, Responses; its types refuse what does not fit.

use std::{env, error::Error, process::ExitCode};

use async_openai::{
    Client,
    config::OpenAIConfig,
    error::OpenAIError,
    types::{
        chat::{
            ChatCompletionMessageToolCalls, ChatCompletionRequestMessage, ChatCompletionTool,
            ChatCompletionToolChoiceOption, ChatCompletionTools, CreateChatCompletionRequest,
            CreateChatCompletionRequestArgs, FinishReason, FunctionObject, ResponseFormat,
            ResponseFormatJsonSchema, ToolChoiceOptions,
        },
        responses::{CreateResponse, CreateResponseArgs, OutputItem, ResponseStreamEvent, Status},
    },
};
use futures::{StreamExt, future::join_all};
use serde_json::{Value, from_str, from_value, json};

type Outcome = Result<(), Box<dyn Error>>;

struct Suite {
    client: Client<OpenAIConfig>,
    model: String,
    prompt: String,
    answer: String,
}

/// An error that says what was wanted, unless both are equal.
macro_rules! same {
    ($wanted:expr, $got:expr) => {
        if $wanted != $got {
            return Err(format!("wanted {:?}, got {:?} (line {})", $wanted, $got, line!()).into());
        }
    };
}

/// An error with the condition's own words, unless it holds.
macro_rules! holds {
    ($condition:expr) => {
        if !$condition {
            return Err(format!("not so: {} (line {})", stringify!($condition), line!()).into());
        }
    };
}

fn city_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "enum": ["Paris", "Rome", "Oslo"] },
            "is_capital": { "type": "boolean" },
            "population": { "type": "integer", "minimum": 1, "maximum": 99 },
        },
        "required": ["name", "is_capital", "population"],
        "additionalProperties": false,
    })
}

fn check_city(text: &str) -> Outcome {
    let city: Value = from_str(text)?;
    holds!(city.as_object().is_some_and(|fields| fields.len() == 3));
    holds!(["Paris", "Rome", "Oslo"].contains(&city["name"].as_str().unwrap_or_default()));
    holds!(city["is_capital"].is_boolean());
    holds!((1..=99).contains(&city["population"].as_i64().unwrap_or_default()));
    Ok(())
}

fn place_schema() -> Value {
    json!({
        "type": "object",
        "properties": { "city": { "type": "string", "enum": ["Paris", "Rome", "Oslo"] } },
        "required": ["city"],
        "additionalProperties": false,
    })
}

fn check_place(arguments: &str) -> Outcome {
    let place: Value = from_str(arguments)?;
    holds!(["Paris", "Rome", "Oslo"].contains(&place["city"].as_str().unwrap_or_default()));
    Ok(())
}

impl Suite {
    fn greedy(
        &self,
        text: &str,
        max_tokens: u32,
    ) -> Result<CreateChatCompletionRequest, Box<dyn Error>> {
        let message: ChatCompletionRequestMessage =
            from_value(json!({ "role": "user", "content": text }))?;
        Ok(CreateChatCompletionRequestArgs::default()
            .model(&self.model)
            .messages([message])
            .temperature(0.0)
            .max_completion_tokens(max_tokens)
            .build()?)
    }

    fn asked(&self, text: &str, max_tokens: u32) -> Result<CreateResponse, Box<dyn Error>> {
        Ok(CreateResponseArgs::default()
            .model(&self.model)
            .input(text)
            .temperature(0.0)
            .max_output_tokens(max_tokens)
            .build()?)
    }

    async fn chat(&self) -> Outcome {
        let completion = self
            .client
            .chat()
            .create(self.greedy(&self.prompt, 60)?)
            .await?;
        same!(
            Some(&self.answer),
            completion.choices[0].message.content.as_ref()
        );
        same!(
            Some(FinishReason::Stop),
            completion.choices[0].finish_reason
        );
        let usage = completion.usage.ok_or("no usage")?;
        same!(
            usage.prompt_tokens + usage.completion_tokens,
            usage.total_tokens
        );
        Ok(())
    }

    async fn stream(&self) -> Outcome {
        let mut chunks = self
            .client
            .chat()
            .create_stream(self.greedy(&self.prompt, 60)?)
            .await?;
        let (mut text, mut finish_reason) = (String::new(), None);
        while let Some(chunk) = chunks.next().await {
            for choice in chunk?.choices {
                text += choice.delta.content.as_deref().unwrap_or_default();
                finish_reason = finish_reason.or(choice.finish_reason);
            }
        }
        same!(self.answer, text);
        same!(Some(FinishReason::Stop), finish_reason);
        Ok(())
    }

    async fn several(&self) -> Outcome {
        let request = self.greedy(&self.prompt, 60)?;
        let chat = self.client.chat();
        for answer in join_all((0..4).map(|_| chat.create(request.clone()))).await {
            let completion = answer?;
            same!(
                Some(&self.answer),
                completion.choices[0].message.content.as_ref()
            );
        }
        Ok(())
    }

    async fn refused(
        &self,
        client: &Client<OpenAIConfig>,
        request: CreateChatCompletionRequest,
        wanted: (u16, &str, Option<&str>),
    ) -> Outcome {
        let Err(OpenAIError::ApiError(refusal)) = client.chat().create(request).await else {
            return Err("no ApiError".into());
        };
        let error = &refusal.api_error;
        let got = (
            refusal.status_code.as_u16(),
            error.code.as_deref().unwrap_or(""),
            error.param.as_deref(),
        );
        same!(wanted, got);
        same!(Some("invalid_request_error"), error.r#type.as_deref());
        Ok(())
    }

    async fn refusals(&self) -> Outcome {
        let mut hot = self.greedy(&self.prompt, 60)?;
        hot.temperature = Some(3.0);
        self.refused(
            &self.client,
            hot,
            (400, "invalid_request", Some("temperature")),
        )
        .await?;
        let mut absent = self.greedy(&self.prompt, 60)?;
        absent.model = "absent".into();
        self.refused(
            &self.client,
            absent,
            (404, "model_not_found", Some("model")),
        )
        .await?;
        let stranger = Client::with_config(OpenAIConfig::new().with_api_key("sk-of-somebody-else"));
        self.refused(
            &stranger,
            self.greedy(&self.prompt, 60)?,
            (401, "invalid_api_key", None),
        )
        .await
    }

    async fn models(&self) -> Outcome {
        let models = self.client.models().list().await?;
        holds!(models.data.iter().any(|model| model.id == self.model));
        same!(
            self.model,
            self.client.models().retrieve(&self.model).await?.id
        );
        Ok(())
    }

    async fn schema(&self) -> Outcome {
        let mut request = self.greedy("Describe Paris as JSON.", 200)?;
        request.response_format = Some(ResponseFormat::JsonSchema {
            json_schema: ResponseFormatJsonSchema {
                description: None,
                name: "city".into(),
                schema: city_schema(),
                strict: Some(true),
            },
        });
        let completion = self.client.chat().create(request).await?;
        same!(
            Some(FinishReason::Stop),
            completion.choices[0].finish_reason
        );
        check_city(
            completion.choices[0]
                .message
                .content
                .as_deref()
                .unwrap_or_default(),
        )
    }

    async fn tools(&self) -> Outcome {
        let mut request = self.greedy("What is the weather in Paris?", 200)?;
        request.tools = Some(vec![ChatCompletionTools::Function(ChatCompletionTool {
            function: FunctionObject {
                name: "get_weather".into(),
                description: Some("The weather in a city now.".into()),
                parameters: Some(place_schema()),
                strict: Some(true),
            },
        })]);
        request.tool_choice = Some(ChatCompletionToolChoiceOption::Mode(
            ToolChoiceOptions::Required,
        ));
        request.parallel_tool_calls = Some(false);
        let completion = self.client.chat().create(request.clone()).await?;
        same!(
            Some(FinishReason::ToolCalls),
            completion.choices[0].finish_reason
        );
        let calls = completion.choices[0]
            .message
            .tool_calls
            .clone()
            .unwrap_or_default();
        let [ChatCompletionMessageToolCalls::Function(call)] = calls.as_slice() else {
            return Err(format!("wanted one call, got {calls:?}").into());
        };
        same!("get_weather", call.function.name);
        check_place(&call.function.arguments)?;

        let mut chunks = self.client.chat().create_stream(request.clone()).await?;
        let mut streamed = String::new();
        while let Some(chunk) = chunks.next().await {
            for delta in chunk?
                .choices
                .into_iter()
                .filter_map(|choice| choice.delta.tool_calls)
                .flatten()
            {
                streamed += delta
                    .function
                    .and_then(|function| function.arguments)
                    .as_deref()
                    .unwrap_or_default();
            }
        }
        same!(call.function.arguments, streamed);

        request.messages.extend([
            from_value::<ChatCompletionRequestMessage>(json!({ "role": "assistant", "tool_calls": calls }))?,
            from_value(json!({ "role": "tool", "tool_call_id": call.id, "content": "{\"temperature\":21}" }))?,
        ]);
        request.tool_choice = Some(ChatCompletionToolChoiceOption::Mode(
            ToolChoiceOptions::None,
        ));
        let last = self.client.chat().create(request).await?;
        holds!(
            last.choices[0]
                .message
                .content
                .as_ref()
                .is_some_and(|text| !text.is_empty())
        );
        Ok(())
    }

    async fn respond(&self) -> Outcome {
        let responses = self.client.responses();
        let first = responses.create(self.asked(&self.prompt, 60)?).await?;
        same!(Some(&self.answer), first.output_text().as_ref());
        same!(Status::Completed, first.status);
        let usage = first.usage.ok_or("no usage")?;
        same!(usage.input_tokens + usage.output_tokens, usage.total_tokens);

        let mut events = responses
            .create_stream(self.asked(&self.prompt, 60)?)
            .await?;
        let (mut text, mut last) = (String::new(), None);
        while let Some(event) = events.next().await {
            match event? {
                ResponseStreamEvent::ResponseOutputTextDelta(event) => text += &event.delta,
                ResponseStreamEvent::ResponseCompleted(event) => {
                    last = event.response.output_text()
                }
                _ => {}
            }
        }
        same!(self.answer, text);
        same!(Some(&self.answer), last.as_ref());

        let mut following = self.asked("And of a park?", 20)?;
        following.previous_response_id = Some(first.id.clone());
        let next = responses.create(following).await?;
        holds!(next.usage.ok_or("no usage")?.input_tokens > usage.total_tokens);
        holds!(responses.delete(&first.id).await?.deleted);
        let gone = responses.retrieve(&first.id).await;
        holds!(
            matches!(gone, Err(OpenAIError::ApiError(refusal)) if refusal.status_code.as_u16() == 404)
        );
        Ok(())
    }

    async fn structured_responses(&self) -> Outcome {
        let mut request = self.asked("Describe Paris as JSON.", 200)?;
        request.text = Some(from_value(json!({
            "format": { "type": "json_schema", "name": "city", "schema": city_schema(), "strict": true },
        }))?);
        let described = self.client.responses().create(request).await?;
        check_city(&described.output_text().unwrap_or_default())?;

        let mut request = self.asked("What is the weather in Paris?", 200)?;
        request.tools = Some(from_value(json!([
            { "type": "function", "name": "get_weather", "parameters": place_schema(), "strict": true },
        ]))?);
        request.tool_choice = Some(from_value(json!("required"))?);
        let called = self.client.responses().create(request).await?;
        let [OutputItem::FunctionCall(call), ..] = called.output.as_slice() else {
            return Err(format!("wanted a call, got {:?}", called.output).into());
        };
        check_place(&call.arguments)
    }
}

/// Tells how a check went; true when it failed.
fn tell(what: &str, outcome: Outcome) -> bool {
    match &outcome {
        Ok(()) => println!("ok {what}"),
        Err(error) => eprintln!("not ok {what}: {error}"),
    }
    outcome.is_err()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let of = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let suite = Suite {
        client: Client::new(),
        model: of("SDK_MODEL"),
        prompt: of("SDK_PROMPT"),
        answer: of("SDK_ANSWER"),
    };
    let failures = [
        tell("chat answers greedily, usage adds up", suite.chat().await),
        tell("stream", suite.stream().await),
        tell("four at once", suite.several().await),
        tell(
            "ApiError: 400, 401, 404 with code and param",
            suite.refusals().await,
        ),
        tell("models", suite.models().await),
        tell("json_schema", suite.schema().await),
        tell(
            "a required tool, the same streamed, its result goes back",
            suite.tools().await,
        ),
        tell(
            "responses: create, stream, chain, delete",
            suite.respond().await,
        ),
        tell(
            "responses: text.format and functions",
            suite.structured_responses().await,
        ),
    ];
    ExitCode::from(u8::from(failures.contains(&true)))
}
