// Answers of Prometheus as Grafana's data frames, with the panel's transformations and field options applied.
const { lastValueFrom } = require('rxjs');
const {
  applyFieldOverrides, FieldConfigOptionsRegistry, FieldType, identityOverrideProcessor, renderLegendFormat,
  standardFieldConfigEditorRegistry, standardTransformers, standardTransformersRegistry, toDataFrame, transformDataFrame,
} = require('@grafana/data');
const { asked, filled, problem } = require('./prometheus');

// Grafana registers these in its core, which is not used here.
const STANDARD = ['unit', 'decimals', 'min', 'max', 'displayName', 'noValue', 'mappings', 'thresholds', 'color', 'links', 'filterable'];
const CUSTOM = [
  'drawStyle', 'lineWidth', 'fillOpacity', 'showPoints', 'spanNulls', 'stacking', 'axisPlacement', 'axisLabel', 'axisSoftMax', 'scaleDistribution',
  'lineInterpolation', 'gradientMode', 'pointSize', 'hideFrom', 'thresholdsStyle', 'width', 'align', 'cellOptions', 'inspect', 'filterable',
];
const item = (id, path, isCustom) => ({
  id, path, name: id, isCustom, process: identityOverrideProcessor, shouldApply: () => true, editor: () => null, override: () => null, settings: {},
});
const registry = new FieldConfigOptionsRegistry();
STANDARD.forEach((name) => registry.register(item(name, name, false)));
CUSTOM.forEach((name) => registry.register(item(`custom.${name}`, name, true)));
standardFieldConfigEditorRegistry.setInit(() => STANDARD.map((name) => item(name, name, false)));
const byId = new Map(Object.values(standardTransformers).map((one) => [one.id, one]));
standardTransformersRegistry.setInit(() =>
  [...byId.values()].map((one) => ({ id: one.id, name: one.name, transformation: async () => one, editor: () => null, imageDark: '', imageLight: '' })));

// What is no number, Grafana does not draw.
const finite = (text) => (Number.isFinite(Number(text)) ? Number(text) : null);

function table(target, series, only) {
  const names = [...new Set(series.flatMap((one) => Object.keys(one.metric)))];
  const value = only ? 'Value' : `Value #${target.refId}`;
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.map((one) => one.value[0] * 1000) },
      ...names.map((name) => ({ name, type: FieldType.string, values: series.map((one) => one.metric[name] ?? '') })),
      { name: value, type: FieldType.number, values: series.map((one) => finite(one.value[1])) },
    ],
  });
}

function curve(config, target, one) {
  const points = one.values ?? [one.value];
  const have = new Map(points.map(([time, value]) => [Number(time), finite(value)]));
  const { from, to, step } = config;
  const times = one.values ? Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, at) => from + at * step) : [...have.keys()];
  const name = renderLegendFormat(target.legendFormat, one.metric);
  return toDataFrame({
    refId: target.refId, name,
    fields: [
      { name: 'Time', type: FieldType.time, values: times.map((time) => time * 1000) },
      { name, type: FieldType.number, labels: one.metric, config: { displayNameFromDS: name }, values: times.map((time) => have.get(time) ?? null) },
    ],
  });
}

async function framesOf(config, panel, values, theme) {
  const found = [];
  for (const target of panel.targets) {
    let answer;
    try {
      answer = await asked(config, target, values);
    } catch (error) {
      problem(panel.title, `${target.refId} fails: ${error.message}`);
      continue;
    }
    if (!answer.series.length && !config.mayBeEmpty.includes(panel.title)) problem(panel.title, `${target.refId} finds nothing: ${answer.expr}`);
    for (const label of target.legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
      if (answer.series.some((one) => !(label[1] in one.metric))) problem(panel.title, `${target.refId}: series lack the label ${label[1]}`);
    }
    if (target.format !== 'table') found.push(...answer.series.map((one) => curve(config, target, one)));
    else if (answer.series.length) found.push(table(target, answer.series, panel.targets.length === 1));
  }
  const steps = (panel.transformations ?? []).map(({ id, options }) => ({ id, options }));
  const data = steps.length && found.length ? await lastValueFrom(transformDataFrame(steps, found)) : found;
  return applyFieldOverrides({
    data, fieldConfig: panel.fieldConfig, fieldConfigRegistry: registry, theme, timeZone: 'utc',
    replaceVariables: (text) => filled(text, values),
  });
}

module.exports = { framesOf };
