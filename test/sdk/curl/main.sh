#!/usr/bin/env bash
# curl and jq, as in a shell: status, headers and bodies byte by byte, where the clients of other programs look away.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

# post PATH JSON [CURL OPTIONS]: the body on stdout; status and headers in $folder/head.
post() {
  local path=$1 json=$2
  shift 2
  curl -sS -D "$folder/head" "$OPENAI_BASE_URL$path" -H "authorization: Bearer $OPENAI_API_KEY" \
    -H 'content-type: application/json' --data-binary "$json" "$@"
}

status() { head -n 1 "$folder/head" | cut -d ' ' -f 2; }

# header NAME: its value in the last answer.
header() { tr -d '\r' <"$folder/head" | sed -n "s/^$1: //Ip"; }

# same WANTED GOT
same() {
  [[ "$1" == "$2" ]] || { printf 'wanted %s\ngot    %s\n' "$1" "$2" >&2 && return 1; }
}

# show FUNCTION WHAT: runs the check in a shell of its own.
show() {
  if (set -e; "$1"); then printf 'ok %s\n' "$2"; else failed=1 && printf 'not ok %s\n' "$2" >&2; fi
}

# ask JQ-EXPRESSION: the greedy question, changed.
ask() {
  jq -nc --arg model "$SDK_MODEL" --arg prompt "$SDK_PROMPT" \
    '{model: $model, messages: [{role: "user", content: $prompt}], temperature: 0, max_tokens: 60} | '"$1"
}

answers() {
  local body
  body=$(post /chat/completions "$(ask .)")
  same 200 "$(status)"
  same "$SDK_ANSWER" "$(jq -r '.choices[0].message.content' <<<"$body")"
  same true "$(jq '.usage | .prompt_tokens + .completion_tokens == .total_tokens' <<<"$body")"
  [[ $(header x-request-id) == req_* ]]
  same 'application/json; charset=utf-8' "$(header content-type)"
}

streams() {
  post /chat/completions "$(ask '.stream = true | .stream_options.include_usage = true')" -N >"$folder/events"
  same 'text/event-stream; charset=utf-8' "$(header content-type)"
  same 'data: [DONE]' "$(grep '^data' "$folder/events" | tail -n 1)"
  # Nothing but events, comments and the empty lines between them.
  same 0 "$(grep -cvE '^(data: .*|:.*|)$' "$folder/events" || true)"
  grep '^data: {' "$folder/events" | cut -c 7- >"$folder/chunks"
  same "$SDK_ANSWER" "$(jq -rj '.choices[0].delta.content // ""' "$folder/chunks")"
  same '["assistant"]' "$(jq -sc '[.[].choices[0].delta.role // empty]' "$folder/chunks")"
  same '["stop"]' "$(jq -sc '[.[].choices[0].finish_reason // empty]' "$folder/chunks")"
  same 1 "$(jq -r .id "$folder/chunks" | sort -u | wc -l)"
  same '[]' "$(tail -n 1 "$folder/chunks" | jq -c .choices)"
  same true "$(tail -n 1 "$folder/chunks" | jq '.usage.completion_tokens > 10')"
}

# refused STATUS TYPE CODE PARAM < body
refused() {
  same "$1" "$(status)"
  same "[\"$2\",\"$3\",$4]" "$(jq -c '[.error.type, .error.code, .error.param]')"
  [[ $(header x-request-id) == req_* ]]
  same false "$(header x-should-retry)"
}

refuses() {
  local kind=invalid_request_error
  post /chat/completions "$(ask '.temperature = 3')" | refused 400 $kind invalid_request '"temperature"'
  post /chat/completions "$(ask '.model = "absent"')" | refused 404 $kind model_not_found '"model"'
  post /chat/completions '{"model": ' | refused 400 $kind invalid_request null
  post /chat/completions "$(ask '.max_tokens = 100000')" |
    refused 400 $kind context_length_exceeded '"max_tokens"'
  post /chat/completions '{}' -H 'content-type: text/plain' | refused 415 $kind unsupported_media_type null
  post /audio/speech '{}' | refused 404 $kind unknown_url null
  OPENAI_API_KEY=sk-of-somebody-else post /chat/completions "$(ask .)" | refused 401 $kind invalid_api_key null
}

repeats() {
  local first second key="key-$RANDOM$RANDOM"
  first=$(post /chat/completions "$(ask '.temperature = 1')" -H "idempotency-key: $key")
  second=$(post /chat/completions "$(ask '.temperature = 1')" -H "idempotency-key: $key")
  same "$first" "$second"
  post /chat/completions "$(ask '.temperature = 0.5')" -H "idempotency-key: $key" >"$folder/body"
  same 409 "$(status)"
  same '"idempotency_conflict"' "$(jq .error.code "$folder/body")"
}

follows_schema() {
  local format='{type: "json_schema", json_schema: {name: "city", strict: true, schema: {
    type: "object", additionalProperties: false, required: ["name", "population"], properties: {
      name: {enum: ["Paris", "Rome"]}, population: {type: "integer", minimum: 1, maximum: 99}}}}}'
  local body
  body=$(post /chat/completions "$(ask ".response_format = $format")")
  same '"stop"' "$(jq '.choices[0].finish_reason' <<<"$body")"
  same true "$(jq '.choices[0].message.content | fromjson | (keys == ["name", "population"])
    and (.name | IN("Paris", "Rome")) and .population >= 1 and .population <= 99' <<<"$body")"
  post /chat/completions "$(ask '.response_format = {type: "json_schema", json_schema: {name: "x", strict: true,
    schema: {type: "object", properties: {a: {type: "nonsense"}}}}}')" >"$folder/body"
  same 400 "$(status)"
  same true "$(jq '.error.message | contains("/properties/a")' "$folder/body")"
}

responds() {
  local body
  body=$(post /responses "$(jq -nc --arg model "$SDK_MODEL" --arg input "$SDK_PROMPT" \
    '{model: $model, input: $input, temperature: 0, max_output_tokens: 60, stream: true}')" -N)
  same "$SDK_ANSWER" "$(sed -n 's/^data: {/{/p' <<<"$body" |
    jq -rj 'select(.type == "response.output_text.delta").delta')"
  # The name of each event is its type.
  same "$(sed -n 's/^event: //p' <<<"$body")" "$(sed -n 's/^data: {/{/p' <<<"$body" | jq -r .type)"
}

show answers 'chat: greedy answer, usage, request id'
show streams 'server-sent events to the byte'
show refuses 'errors: 400 401 404 415, their types, codes and params'
show repeats 'idempotency keys'
show follows_schema 'json_schema, and a schema refused by its pointer'
show responds 'the events of a response'
exit $failed
