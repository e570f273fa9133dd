/** Metrics that are asked for at each scrape instead of counted: how many requests there are, and the latency model. */
import { Gauge, type Registry } from 'prom-client';
import type { LatencyTerms } from './engine/latency-model.ts';

export interface LoadFigures {
  readonly running: number;
  readonly waiting: number;
}

/** Under our name and vLLM's. */
export function watchLoad(registry: Registry, modelName: string, load: () => LoadFigures): void {
  for (const key of ['running', 'waiting'] as const) {
    const help = `Requests ${key}.`;
    new Gauge({
      name: `foretoken_requests_${key}`,
      help,
      registers: [registry],
      collect() {
        this.set(load()[key]);
      },
    });
    new Gauge({
      name: `vllm:num_requests_${key}`,
      help,
      labelNames: ['model_name'],
      registers: [registry],
      collect() {
        this.set({ model_name: modelName }, load()[key]);
      },
    });
  }
}

/** The terms of the latency model as they stand; those that have no value yet are left out. */
export function watchLatencyModel(registry: Registry, latencyTerms: () => LatencyTerms | null): void {
  new Gauge({
    name: 'foretoken_latency_model_seconds',
    help: 'Fitted terms of the ring: links and the fixed part of a pass (of a round), a row of it, a row and a prompt of others under way, a prompt and its row.',
    labelNames: ['term'],
    registers: [registry],
    collect() {
      const terms = latencyTerms();
      if (terms === null) return;
      this.set({ term: 'links' }, terms.linksMs / 1000);
      this.set({ term: 'stages_fixed' }, terms.stagesFixedMs / 1000);
      this.set({ term: 'stages_row' }, terms.stagesRowMs / 1000);
      this.set({ term: 'load_row' }, terms.loadRowMs / 1000);
      this.set({ term: 'load_prompt' }, terms.loadPromptMs / 1000);
      this.set({ term: 'prefill_fixed' }, terms.prefillFixedMs / 1000);
      this.set({ term: 'prefill_row' }, terms.prefillRowMs / 1000);
    },
  });
  new Gauge({
    name: 'foretoken_latency_model_draft_token_seconds',
    help: 'Fitted time of one more token of a draft.',
    labelNames: ['drafter'],
    registers: [registry],
    collect() {
      for (const [drafter, ms] of latencyTerms()?.draftTokenMs ?? []) this.set({ drafter }, ms / 1000);
    },
  });
}
