/**
 * Writes .env.example from the settings' own descriptions; `--check` only compares and fails on a difference.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { gatewaySettings, type Setting, workerSettings } from '../src/settings.ts';

const target = new URL('../.env.example', import.meta.url);
const head = [
  '# Settings of Foretoken; made by `npm run generate` from src/settings.ts. Every line is optional.',
  '# Flags of the same meaning win over these. Sizes take KiB, MiB, GiB.',
];

function describeSetting(setting: Setting): string[] {
  const flag = setting.flags.split(' ')[0]!;
  return [
    `# ${setting.description} (${flag}; ${setting.expected})`,
    `#${setting.env}=${setting.fallback ?? ''}`,
  ];
}

/** The whole file: the gateway's groups, then what only a worker reads. */
export function envExample(): string {
  const lines = [...head];
  for (const group of new Set(gatewaySettings.map((setting) => setting.group))) {
    lines.push('', `## ${group}`);
    for (const setting of gatewaySettings)
      if (setting.group === group) lines.push(...describeSetting(setting));
  }
  const shared = new Set(gatewaySettings.map((setting) => setting.env));
  lines.push('', '## A worker started on its own (foretoken worker)');
  for (const setting of workerSettings) if (!shared.has(setting.env)) lines.push(...describeSetting(setting));
  return `${lines.join('\n')}\n`;
}

if (import.meta.main) {
  const text = envExample();
  if (!process.argv.includes('--check')) await writeFile(target, text);
  else if ((await readFile(target, 'utf8').catch(() => '')) !== text) {
    console.error('.env.example is not what src/settings.ts says. Run: npm run generate');
    process.exitCode = 1;
  }
}
