// OpenAI's client for Go: chat, its stream accumulator, schemas, tools, errors and headers, Responses over both transports.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

var (
	ctx    = context.Background()
	model  = os.Getenv("SDK_MODEL")
	prompt = os.Getenv("SDK_PROMPT")
	answer = os.Getenv("SDK_ANSWER")
	client = openai.NewClient()
	failed = false
)

func show(what string, check func() error) {
	if err := check(); err != nil {
		failed = true
		fmt.Fprintf(os.Stderr, "not ok %s: %v\n", what, err)
		return
	}
	fmt.Println("ok", what)
}

// same is nil for equal values.
func same[T comparable](what string, got, wanted T) error {
	if got == wanted {
		return nil
	}
	return fmt.Errorf("%s: wanted %#v, got %#v", what, wanted, got)
}

func holds(what string, condition bool) error {
	if condition {
		return nil
	}
	return errors.New("not so: " + what)
}

func greedy(text string, maxTokens int64) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:               model,
		Messages:            []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)},
		Temperature:         openai.Float(0),
		MaxCompletionTokens: openai.Int(maxTokens),
	}
}

func asked(text string, maxTokens int64) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model:           model,
		Input:           responses.ResponseNewParamsInputUnion{OfString: openai.String(text)},
		Temperature:     openai.Float(0),
		MaxOutputTokens: openai.Int(maxTokens),
	}
}

func object(properties map[string]any, required ...string) map[string]any {
	return map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
	}
}

var citySchema = object(map[string]any{
	"name":       map[string]any{"type": "string", "enum": []string{"Paris", "Rome", "Oslo"}},
	"is_capital": map[string]any{"type": "boolean"},
	"population": map[string]any{"type": "integer", "minimum": 1, "maximum": 99},
}, "name", "is_capital", "population")

type city struct {
	Name       string `json:"name"`
	IsCapital  *bool  `json:"is_capital"`
	Population int    `json:"population"`
}

func readCity(text string) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var it city
	if err := decoder.Decode(&it); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	return holds(text, it.Name != "" && it.IsCapital != nil && it.Population >= 1 && it.Population <= 99)
}

var placeSchema = object(map[string]any{
	"city": map[string]any{"type": "string", "enum": []string{"Paris", "Rome", "Oslo"}},
}, "city")

func readPlace(arguments string) error {
	var place struct{ City string }
	if err := json.Unmarshal([]byte(arguments), &place); err != nil {
		return fmt.Errorf("%q: %w", arguments, err)
	}
	return holds(arguments, place.City != "")
}

func chat() error {
	var raw *http.Response
	completion, err := client.Chat.Completions.New(ctx, greedy(prompt, 60), option.WithResponseInto(&raw))
	if err != nil {
		return err
	}
	usage := completion.Usage
	return errors.Join(
		same("text", completion.Choices[0].Message.Content, answer),
		same("finish_reason", completion.Choices[0].FinishReason, "stop"),
		same("tokens", usage.TotalTokens, usage.PromptTokens+usage.CompletionTokens),
		holds("a request id", strings.HasPrefix(raw.Header.Get("x-request-id"), "req_")),
		same("limit", raw.Header.Get("x-ratelimit-limit-requests"), "10000"),
	)
}

func stream() error {
	params := greedy(prompt, 60)
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	events := client.Chat.Completions.NewStreaming(ctx, params)
	defer events.Close()
	var all openai.ChatCompletionAccumulator
	finished := ""
	for events.Next() {
		if !all.AddChunk(events.Current()) {
			return errors.New("a chunk does not follow those before it")
		}
		if text, ok := all.JustFinishedContent(); ok {
			finished = text
		}
	}
	return errors.Join(
		events.Err(),
		same("finished text", finished, answer),
		same("text", all.Choices[0].Message.Content, answer),
		holds("usage", all.Usage.CompletionTokens > 10),
	)
}

func refusals() error {
	hot := greedy(prompt, 60)
	hot.Temperature = openai.Float(3)
	absent := greedy(prompt, 60)
	absent.Model = "absent"
	refused := func(params openai.ChatCompletionNewParams, status int, code, param string, with ...option.RequestOption) error {
		_, err := client.Chat.Completions.New(ctx, params, with...)
		var refusal *openai.Error
		if !errors.As(err, &refusal) {
			return fmt.Errorf("wanted an openai.Error, got %v", err)
		}
		return errors.Join(
			same("status", refusal.StatusCode, status),
			same("code", refusal.Code, code),
			same("param", refusal.Param, param),
			same("type", refusal.Type, "invalid_request_error"),
			holds("a request id", refusal.Response.Header.Get("x-request-id") != ""),
		)
	}
	return errors.Join(
		refused(hot, 400, "invalid_request", "temperature"),
		refused(absent, 404, "model_not_found", "model"),
		refused(greedy(prompt, 60), 401, "invalid_api_key", "", option.WithAPIKey("sk-of-somebody-else")),
	)
}

func models() error {
	pages := client.Models.ListAutoPaging(ctx)
	for pages.Next() {
		if pages.Current().ID == model {
			return nil
		}
	}
	return errors.Join(pages.Err(), errors.New("the model is not listed"))
}

func schema() error {
	params := greedy("Describe Paris as JSON.", 200)
	params.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{
		OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
				Name: "city", Strict: openai.Bool(true), Schema: citySchema,
			},
		},
	}
	completion, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return err
	}
	return errors.Join(
		same("finish_reason", completion.Choices[0].FinishReason, "stop"),
		readCity(completion.Choices[0].Message.Content),
	)
}

func tools() error {
	params := greedy("What is the weather in Paris?", 200)
	params.Tools = []openai.ChatCompletionToolUnionParam{
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
			Name: "get_weather", Description: openai.String("The weather in a city now."), Parameters: placeSchema,
		}),
	}
	params.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(
		openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "get_weather"},
	)
	params.ParallelToolCalls = openai.Bool(false)
	completion, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return err
	}
	message := completion.Choices[0].Message
	if err := same("calls", len(message.ToolCalls), 1); err != nil {
		return err
	}
	call := message.ToolCalls[0]

	events := client.Chat.Completions.NewStreaming(ctx, params)
	defer events.Close()
	var all openai.ChatCompletionAccumulator
	streamed := ""
	for events.Next() {
		if !all.AddChunk(events.Current()) {
			return errors.New("a chunk does not follow those before it")
		}
		if finished, ok := all.JustFinishedToolCall(); ok {
			streamed = finished.Name + finished.Arguments
		}
	}
	if err := events.Err(); err != nil {
		return err
	}

	params.Messages = append(params.Messages, message.ToParam(), openai.ToolMessage(`{"temperature":21}`, call.ID))
	params.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("none")}
	last, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		return err
	}
	return errors.Join(
		readPlace(call.Function.Arguments),
		same("streamed call", streamed, "get_weather"+call.Function.Arguments),
		holds("a text in the end", last.Choices[0].Message.Content != ""),
		same("calls in the end", len(last.Choices[0].Message.ToolCalls), 0),
	)
}

func respond() error {
	first, err := client.Responses.New(ctx, asked(prompt, 60))
	if err != nil {
		return err
	}
	events := client.Responses.NewStreaming(ctx, asked(prompt, 60))
	defer events.Close()
	text, final := "", ""
	for events.Next() {
		switch event := events.Current(); event.Type {
		case "response.output_text.delta":
			text += event.Delta
		case "response.completed":
			final = event.Response.OutputText()
		}
	}
	following := asked("And of a park?", 20)
	following.PreviousResponseID = openai.String(first.ID)
	next, err := client.Responses.New(ctx, following)
	if err != nil {
		return err
	}
	if err := client.Responses.Delete(ctx, first.ID); err != nil {
		return err
	}
	_, gone := client.Responses.Get(ctx, first.ID, responses.ResponseGetParams{})
	var refusal *openai.Error
	return errors.Join(
		events.Err(),
		same("text", first.OutputText(), answer),
		same("streamed text", text, answer),
		same("final text", final, answer),
		same("tokens", first.Usage.TotalTokens, first.Usage.InputTokens+first.Usage.OutputTokens),
		holds("the chain is read", next.Usage.InputTokens > first.Usage.TotalTokens),
		holds("gone", errors.As(gone, &refusal) && refusal.StatusCode == 404),
	)
}

func structuredResponses() error {
	params := asked("Describe Paris as JSON.", 200)
	params.Text.Format = responses.ResponseFormatTextConfigParamOfJSONSchema("city", citySchema)
	described, err := client.Responses.New(ctx, params)
	if err != nil {
		return err
	}
	params = asked("What is the weather in Paris?", 200)
	params.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("get_weather", placeSchema, true)}
	params.ToolChoice = responses.ResponseNewParamsToolChoiceUnion{
		OfToolChoiceMode: openai.Opt(responses.ToolChoiceOptionsRequired),
	}
	called, err := client.Responses.New(ctx, params)
	if err != nil {
		return err
	}
	call := called.Output[0]
	return errors.Join(
		readCity(described.OutputText()),
		same("item", call.Type, "function_call"),
		readPlace(call.AsFunctionCall().Arguments),
	)
}

func webSocket() error {
	connection, err := client.Responses.Connect(ctx, responses.ResponseConnectionOptions{})
	if err != nil {
		return err
	}
	defer connection.Abort()
	create := responses.ResponsesClientEventResponseCreateParam{
		Model:           model,
		Input:           responses.ResponsesClientEventResponseCreateInputUnionParam{OfString: openai.String(prompt)},
		Temperature:     openai.Float(0),
		MaxOutputTokens: openai.Int(60),
		Store:           openai.Bool(false),
	}
	if err := connection.Create(ctx, create); err != nil {
		return err
	}
	first, err := connection.FinalResponse(ctx)
	if err != nil {
		return err
	}
	create.PreviousResponseID = openai.String(first.ID)
	if err := connection.Create(ctx, create); err != nil {
		return err
	}
	second, err := connection.FinalResponse(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		same("text", first.OutputText(), answer),
		same("chain", second.PreviousResponseID, first.ID),
		connection.Close(),
	)
}

func main() {
	show("chat answers greedily, usage adds up, headers", chat)
	show("stream accumulator", stream)
	show("openai.Error: 400, 401, 404 with code and param", refusals)
	show("models, paged", models)
	show("json_schema into a struct", schema)
	show("a named tool, the same streamed, its result goes back", tools)
	show("responses: create, stream, chain, delete", respond)
	show("responses: text.format and functions", structuredResponses)
	show("responses over a WebSocket: an answer and one that follows it", webSocket)
	if failed {
		os.Exit(1)
	}
}
