/**
 * A writer for ONNX graphs: nodes in execution order, small constants inside the file, large weights as ranges of
 * one external file beside it. Names are given out here, so a graph is in single-assignment form by construction; a
 * branch of an If gives them out together with the graph around it, whose values it sees.
 * Source: onnx.proto (field numbers beside each message); operators without a domain are opset 21, others com.microsoft 1.
 */
import { bytesField, floatField, intField, message } from './protobuf.ts';

/** TensorProto.DataType of the element types in use. */
const elementTypes = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9 } as const;
export type ElementType = keyof typeof elementTypes;

/** A named size is decided at run time; equal names are equal sizes. */
export type Dimension = number | string;

/** Where the bytes of a weight lie: offset is a multiple of the page size, so that the runtime can map the file. */
export interface ExternalTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
}

/** A constant inside the graph file; for what is small (axes, bounds, the weights of a probe). */
export interface InlineTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export type StoredTensor = ExternalTensor | InlineTensor;

/** A plain number is an integer attribute; floats are marked, since 1.0 and 1 are the same number here. */
export type Attribute = number | readonly number[] | { readonly float: number } | { readonly graph: Buffer };

const irVersion = 10;
const opsetVersion = 21;
const microsoftVersion = 1;
const floatAttribute = 1;
const intAttribute = 2;
const graphAttribute = 5;
const intsAttribute = 7;
const externalLocation = 1;

export class OnnxGraph {
  /** The graph that this is a branch in, at any depth; itself if it is none. */
  readonly #root: OnnxGraph;
  readonly #nodes: Buffer[] = [];
  readonly #initializers: Buffer[] = [];
  readonly #inputs: Buffer[] = [];
  readonly #outputs: Buffer[] = [];
  readonly #integers = new Map<string, string>();
  #names = 0;

  constructor(root: OnnxGraph | null = null) {
    this.#root = root ?? this;
  }

  /** Declares a graph input; gives its name back. */
  input(name: string, type: ElementType, shape: readonly Dimension[]): string {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  /** Declares an already computed value as a graph output. */
  output(name: string, type: ElementType, shape: readonly Dimension[]): void {
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** A weight. Two weights may name the same bytes under different shapes. */
  weight(tensor: StoredTensor): string {
    const name = this.newName('weight');
    this.#root.#initializers.push(tensorProto(name, tensor));
    return name;
  }

  /** A one-dimensional int64 constant; equal lists share one. */
  integers(...values: readonly (number | bigint)[]): string {
    const key = values.join(' ');
    const known = this.#root.#integers.get(key);
    if (known !== undefined) return known;
    const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    const name = this.weight({ type: 'int64', shape: [values.length], data });
    this.#root.#integers.set(key, name);
    return name;
  }

  /** Adds a node with one output and gives that output's name. An empty input name leaves an optional input out. */
  node(operator: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}): string {
    const output = this.newName(operator);
    this.nodeTo([output], operator, inputs, attributes);
    return output;
  }

  /** Adds a node whose outputs are named by the caller; an empty name leaves an optional output out. */
  nodeTo(
    outputs: readonly string[],
    operator: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): void {
    const [type, domain] = operator.split('@') as [string, string?];
    this.#nodes.push(
      message(
        inputs.map((name) => bytesField(1, name)),
        outputs.map((name) => bytesField(2, name)),
        bytesField(3, `node${this.#nodes.length}`),
        bytesField(4, type),
        Object.entries(attributes).map(([name, value]) => bytesField(5, attributeProto(name, value))),
        domain === undefined ? [] : bytesField(7, domain),
      ),
    );
  }

  /**
   * Adds an If over a bool of one element: only the branch taken is computed. Both builders give as many names, and
   * those of the node's outputs are given back. Weights are the whole graph's, wherever they are named.
   */
  either<Names extends readonly string[]>(
    condition: string,
    yes: (branch: OnnxGraph) => Names,
    no: (branch: OnnxGraph) => Names,
  ): Names {
    const [thenBranch, elseBranch] = [yes, no].map((build) => {
      const branch = new OnnxGraph(this.#root);
      const names = build(branch);
      for (const name of names) branch.#outputs.push(bytesField(1, name));
      return { names, graph: branch.#encodeGraph('branch') };
    }) as [{ names: Names; graph: Buffer }, { names: Names; graph: Buffer }];
    const outputs = thenBranch.names.map((_, index) => this.newName(`either${index}`));
    this.nodeTo(outputs, 'If', [condition], {
      then_branch: { graph: thenBranch.graph },
      else_branch: { graph: elseBranch.graph },
    });
    return outputs as readonly string[] as Names;
  }

  #encodeGraph(name: string): Buffer {
    return message(
      this.#nodes.map((node) => bytesField(1, node)),
      bytesField(2, name),
      this.#initializers.map((tensor) => bytesField(5, tensor)),
      this.#inputs.map((value) => bytesField(11, value)),
      this.#outputs.map((value) => bytesField(12, value)),
    );
  }

  /** The file (ModelProto). */
  encode(): Buffer {
    const graph = this.#encodeGraph('shard');
    return message(
      intField(1, irVersion),
      bytesField(2, 'foretoken'),
      bytesField(7, graph),
      bytesField(8, message(bytesField(1, ''), intField(2, opsetVersion))),
      bytesField(8, message(bytesField(1, 'com.microsoft'), intField(2, microsoftVersion))),
    );
  }

  /** A fresh value name, for `nodeTo`. */
  newName(hint: string): string {
    return `${hint.split('@')[0]}_${this.#root.#names++}`;
  }
}

/** ValueInfoProto: name, then type.tensor_type.{elem_type, shape}. */
function valueInfo(name: string, type: ElementType, shape: readonly Dimension[]): Buffer {
  const dimensions = shape.map((size) =>
    bytesField(1, typeof size === 'number' ? intField(1, size) : bytesField(2, size)),
  );
  const tensorType = message(intField(1, elementTypes[type]), bytesField(2, message(dimensions)));
  return message(bytesField(1, name), bytesField(2, bytesField(1, tensorType)));
}

/** TensorProto: dims, data_type, name, then raw_data or external_data and data_location. */
function tensorProto(name: string, tensor: StoredTensor): Buffer {
  const head = message(
    tensor.shape.map((size) => intField(1, size)),
    intField(2, elementTypes[tensor.type]),
    bytesField(8, name),
  );
  if ('data' in tensor) return message(head, bytesField(9, tensor.data));
  const entry = (key: string, value: string | number): Buffer =>
    bytesField(13, message(bytesField(1, key), bytesField(2, String(value))));
  return message(
    head,
    entry('location', tensor.file),
    entry('offset', tensor.offset),
    entry('length', tensor.bytes),
    intField(14, externalLocation),
  );
}

/** AttributeProto: name, the value in the field of its type, type. */
function attributeProto(name: string, value: Attribute): Buffer {
  const named = bytesField(1, name);
  if (typeof value === 'number') return message(named, intField(3, value), intField(20, intAttribute));
  if ('graph' in value) return message(named, bytesField(6, value.graph), intField(20, graphAttribute));
  if ('float' in value) return message(named, floatField(2, value.float), intField(20, floatAttribute));
  return message(
    named,
    value.map((item) => intField(8, item)),
    intField(20, intsAttribute),
  );
}
