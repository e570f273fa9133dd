import com.fasterxml.jackson.annotation.JsonClassDescription;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.http.HttpResponseFor;
import com.openai.core.http.StreamResponse;
import com.openai.errors.BadRequestException;
import com.openai.errors.NotFoundException;
import com.openai.errors.OpenAIServiceException;
import com.openai.errors.UnauthorizedException;
import com.openai.helpers.ChatCompletionAccumulator;
import com.openai.helpers.ResponseAccumulator;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.chat.completions.ChatCompletionMessage;
import com.openai.models.chat.completions.ChatCompletionMessageFunctionToolCall;
import com.openai.models.chat.completions.ChatCompletionNamedToolChoice;
import com.openai.models.chat.completions.ChatCompletionStreamOptions;
import com.openai.models.chat.completions.ChatCompletionToolChoiceOption;
import com.openai.models.chat.completions.ChatCompletionToolMessageParam;
import com.openai.models.responses.Response;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.ResponseStreamEvent;
import com.openai.models.responses.ToolChoiceOptions;
import io.swagger.v3.oas.annotations.media.ArraySchema;
import io.swagger.v3.oas.annotations.media.Schema;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** OpenAI's client for Java: chat, streams and their accumulators, classes as schemas and tools, errors, Responses. */
public final class Main {
  private static final String model = System.getenv("SDK_MODEL");
  private static final String prompt = System.getenv("SDK_PROMPT");
  private static final String answer = System.getenv("SDK_ANSWER");
  private static final OpenAIClient client = OpenAIOkHttpClient.fromEnv();
  private static boolean failed = false;

  private interface Check {
    void run() throws Exception;
  }

  private static void show(String what, Check check) {
    try {
      check.run();
      System.out.println("ok " + what);
    } catch (Throwable error) {
      failed = true;
      System.err.print("not ok " + what + ": ");
      error.printStackTrace();
    }
  }

  private static void same(Object wanted, Object got) {
    if (!Objects.equals(wanted, got)) throw new AssertionError("wanted " + wanted + ", got " + got);
  }

  private static void holds(boolean condition, String what) {
    if (!condition) throw new AssertionError("not so: " + what);
  }

  public enum Name { PARIS, ROME, OSLO }

  public enum Sight { TOWER, RIVER, MUSEUM }

  /** What an answer has to be. */
  public static final class City {
    public Name name;

    @JsonProperty("is_capital")
    public boolean isCapital;

    @Schema(minimum = "1", maximum = "99")
    public int population;

    @ArraySchema(minItems = 1, maxItems = 3)
    public List<Sight> sights;

    void check() {
      holds(name != null && population >= 1 && population <= 99, "a city");
      holds(sights.size() >= 1 && sights.size() <= 3, "some sights");
    }
  }

  @JsonClassDescription("The weather in a city now.")
  public static final class GetWeather {
    public Name city;
  }

  private static ChatCompletionCreateParams.Builder greedy(String text, long maxTokens) {
    return ChatCompletionCreateParams.builder()
        .model(model)
        .addUserMessage(text)
        .temperature(0)
        .maxCompletionTokens(maxTokens);
  }

  private static ResponseCreateParams.Builder asked(String text, long maxTokens) {
    return ResponseCreateParams.builder()
        .model(model)
        .input(text)
        .temperature(0)
        .maxOutputTokens(maxTokens);
  }

  private static String textOf(ChatCompletion completion) {
    return completion.choices().get(0).message().content().orElse("");
  }

  private static String textOf(Response response) {
    return response.output().stream()
        .flatMap(item -> item.message().stream())
        .flatMap(message -> message.content().stream())
        .flatMap(content -> content.outputText().stream())
        .map(text -> text.text())
        .collect(Collectors.joining());
  }

  private static void chat() {
    HttpResponseFor<ChatCompletion> raw =
        client.chat().completions().withRawResponse().create(greedy(prompt, 60).build());
    holds(raw.headers().values("x-request-id").get(0).startsWith("req_"), "a request id");
    same(List.of("10000"), raw.headers().values("x-ratelimit-limit-requests"));
    ChatCompletion completion = raw.parse();
    same(answer, textOf(completion));
    same(ChatCompletion.Choice.FinishReason.STOP, completion.choices().get(0).finishReason());
    var usage = completion.usage().orElseThrow();
    same(usage.promptTokens() + usage.completionTokens(), usage.totalTokens());
  }

  private static void stream() {
    ChatCompletionAccumulator all = ChatCompletionAccumulator.create();
    var params =
        greedy(prompt, 60)
            .streamOptions(ChatCompletionStreamOptions.builder().includeUsage(true).build())
            .build();
    StringBuilder text = new StringBuilder();
    try (StreamResponse<ChatCompletionChunk> chunks = client.chat().completions().createStreaming(params)) {
      chunks.stream()
          .peek(all::accumulate)
          .flatMap(chunk -> chunk.choices().stream())
          .flatMap(choice -> choice.delta().content().stream())
          .forEach(text::append);
    }
    same(answer, text.toString());
    same(answer, textOf(all.chatCompletion()));
    holds(all.chatCompletion().usage().orElseThrow().completionTokens() > 10, "usage");
  }

  private static void asynchronous() {
    List<CompletableFuture<ChatCompletion>> answers =
        IntStream.range(0, 4)
            .mapToObj(i -> client.async().chat().completions().create(greedy(prompt, 60).build()))
            .toList();
    for (CompletableFuture<ChatCompletion> one : answers) same(answer, textOf(one.join()));
  }

  private static <E extends OpenAIServiceException> void refused(
      Class<E> kind, String code, String param, Check ask) throws Exception {
    try {
      ask.run();
    } catch (OpenAIServiceException error) {
      holds(kind.isInstance(error), kind + ", not " + error.getClass());
      same(code, error.code().orElse(null));
      same(param, error.param().orElse(null));
      same("invalid_request_error", error.type().orElse(null));
      holds(!error.headers().values("x-request-id").isEmpty(), "a request id");
      return;
    }
    throw new AssertionError("answered");
  }

  private static void refusals() throws Exception {
    var chats = client.chat().completions();
    refused(
        BadRequestException.class,
        "invalid_request",
        "temperature",
        () -> chats.create(greedy(prompt, 60).temperature(3).build()));
    refused(
        NotFoundException.class,
        "model_not_found",
        "model",
        () -> chats.create(greedy(prompt, 60).model("absent").build()));
    OpenAIClient stranger = OpenAIOkHttpClient.builder().fromEnv().apiKey("sk-of-somebody-else").build();
    refused(UnauthorizedException.class, "invalid_api_key", null, () -> stranger.models().list());
  }

  private static void models() {
    holds(client.models().list().autoPager().stream().anyMatch(it -> it.id().equals(model)), "listed");
  }

  private static void schema() {
    var described =
        client.chat().completions().create(greedy("Describe Paris as JSON.", 200).responseFormat(City.class).build());
    same(ChatCompletion.Choice.FinishReason.STOP, described.choices().get(0).finishReason());
    described.choices().get(0).message().content().orElseThrow().check();
  }

  private static void tools() {
    var params = greedy("What is the weather in Paris?", 200).addTool(GetWeather.class).parallelToolCalls(false);
    var named = ChatCompletionNamedToolChoice.Function.builder().name("GetWeather").build();
    params.toolChoice(ChatCompletionNamedToolChoice.builder().function(named).build());
    ChatCompletionMessage message = client.chat().completions().create(params.build()).choices().get(0).message();
    List<ChatCompletionMessageFunctionToolCall> calls =
        message.toolCalls().orElseThrow().stream().map(call -> call.asFunction()).toList();
    same(1, calls.size());
    holds(calls.get(0).function().arguments(GetWeather.class).city != null, "a city");

    ChatCompletionAccumulator all = ChatCompletionAccumulator.create();
    try (var chunks = client.chat().completions().createStreaming(params.build())) {
      chunks.stream().forEach(all::accumulate);
    }
    var streamed = all.chatCompletion().choices().get(0).message().toolCalls().orElseThrow().get(0).asFunction();
    same(calls.get(0).function().arguments(), streamed.function().arguments());

    params.addMessage(message);
    params.addMessage(
        ChatCompletionToolMessageParam.builder()
            .toolCallId(calls.get(0).id())
            .content("{\"temperature\":21}")
            .build());
    params.toolChoice(ChatCompletionToolChoiceOption.ofAuto(ChatCompletionToolChoiceOption.Auto.NONE));
    holds(!textOf(client.chat().completions().create(params.build())).isEmpty(), "a text in the end");
  }

  private static void respond() {
    Response first = client.responses().create(asked(prompt, 60).build());
    same(answer, textOf(first));
    var usage = first.usage().orElseThrow();
    same(usage.inputTokens() + usage.outputTokens(), usage.totalTokens());
    ResponseAccumulator all = ResponseAccumulator.create();
    StringBuilder text = new StringBuilder();
    try (StreamResponse<ResponseStreamEvent> events =
        client.responses().createStreaming(asked(prompt, 60).build())) {
      events.stream()
          .peek(all::accumulate)
          .flatMap(event -> event.outputTextDelta().stream())
          .forEach(event -> text.append(event.delta()));
    }
    same(answer, text.toString());
    same(answer, textOf(all.response()));
    Response next =
        client.responses().create(asked("And of a park?", 20).previousResponseId(first.id()).build());
    holds(next.usage().orElseThrow().inputTokens() > usage.totalTokens(), "the chain is read");
    client.responses().delete(first.id());
    try {
      client.responses().retrieve(first.id());
      throw new AssertionError("still there");
    } catch (NotFoundException gone) {
      same(404, gone.statusCode());
    }
  }

  private static void structuredResponses() {
    var described = client.responses().create(asked("Describe Paris as JSON.", 200).text(City.class).build());
    described.output().stream()
        .flatMap(item -> item.message().stream())
        .flatMap(message -> message.content().stream())
        .forEach(content -> content.asOutputText().check());
    var called =
        client
            .responses()
            .create(
                asked("What is the weather in Paris?", 200)
                    .addTool(GetWeather.class)
                    .toolChoice(ToolChoiceOptions.REQUIRED)
                    .build());
    var call = called.output().get(0).asFunctionCall();
    same("GetWeather", call.name());
    holds(call.arguments(GetWeather.class).city != null, "a city");
  }

  public static void main(String[] arguments) {
    show("chat answers greedily, usage adds up, raw headers", Main::chat);
    show("stream and accumulator", Main::stream);
    show("async: four at once", Main::asynchronous);
    show("exceptions: 400, 401, 404 with code and param", Main::refusals);
    show("models, paged", Main::models);
    show("a class as response format", Main::schema);
    show("a class as tool, the same streamed, its result goes back", Main::tools);
    show("responses: create, stream, chain, delete", Main::respond);
    show("responses: a class as format and as tool", Main::structuredResponses);
    // The client's threads would keep the program open for a while.
    System.exit(failed ? 1 : 0);
  }
}
