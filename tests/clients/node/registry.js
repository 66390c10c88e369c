// Confluent's JavaScript registry client, as a Node service would use it. It knows nothing of the product
// but the schema file and a registry's address; the records themselves are carried by the caller, as hex.
//
//   node registry.js register URL TOPIC            registers the schema, prints {"id", "version"}
//   node registry.js serialize URL TOPIC EVENT     EVENT in the JSON form; prints the value in hex
//   node registry.js deserialize URL TOPIC HEX     prints the event in the JSON form
import { readFileSync } from "node:fs";
import registry from "@confluentinc/schemaregistry";

const { AvroDeserializer, AvroSerializer, SchemaRegistryClient, SerdeType } = registry;
const NAMESPACE = "licenseflow.v1.";
const SCHEMA = readFileSync(new URL("../../../avro/schemas/license_event.avsc", import.meta.url), "utf8");
const TIMES = new Set(["occurred_at", "valid_from", "expires_at"]);

// The library writes and reads times as plain microseconds; `Date` knows only milliseconds.
function toMicros(text) {
  const fraction = (/\.(\d{1,6})/.exec(text)?.[1] ?? "").padEnd(6, "0");
  return Math.trunc(Date.parse(text.replace(/\.\d+/, "")) / 1000) * 1_000_000 + Number(fraction);
}

function toText(micros) {
  const seconds = new Date(Math.floor(micros / 1_000_000) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(micros % 1_000_000).padStart(6, "0")}Z`;
}

function convertTimes(members, convert) {
  const entries = Object.entries(members);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, TIMES.has(name) && value !== null ? convert(value) : value]),
  );
}

// The library does not fill a writer's missing members with the schema's defaults; a datum names them all.
function withDefaults(members, fields) {
  const defaults = fields.filter((field) => "default" in field).map((field) => [field.name, field.default]);
  return { ...Object.fromEntries(defaults), ...members };
}

function toDatum({ type, data, ...envelope }) {
  const { fields } = JSON.parse(SCHEMA);
  const payload = fields.find((field) => field.name === "payload").type.find((branch) => branch.name === type);
  const members = convertTimes(withDefaults(data, payload.fields), toMicros);
  return {
    ...convertTimes(withDefaults(envelope, fields), toMicros),
    payload: { [NAMESPACE + type]: members },
  };
}

function fromDatum({ payload, ...envelope }) {
  const [[name, data]] = Object.entries(payload);
  return {
    ...convertTimes(envelope, toText),
    type: name.slice(NAMESPACE.length),
    data: convertTimes(data, toText),
  };
}

async function register(client, topic) {
  const subject = `${topic}-value`;
  const id = await client.register(subject, { schemaType: "AVRO", schema: SCHEMA });
  const { version } = await client.getLatestSchemaMetadata(subject);
  return JSON.stringify({ id, version });
}

async function serialize(client, topic, event) {
  const settings = { autoRegisterSchemas: false, useLatestVersion: true };
  const serializer = new AvroSerializer(client, SerdeType.VALUE, settings);
  return (await serializer.serialize(topic, toDatum(JSON.parse(event)))).toString("hex");
}

async function deserialize(client, topic, hex) {
  const deserializer = new AvroDeserializer(client, SerdeType.VALUE, {});
  return JSON.stringify(fromDatum(await deserializer.deserialize(topic, Buffer.from(hex, "hex"))));
}

async function main([command, url, topic, argument]) {
  const commands = { register, serialize, deserialize };
  if (!Object.hasOwn(commands, command ?? "") || topic === undefined) {
    console.error("usage: node registry.js register|serialize|deserialize URL TOPIC [EVENT|HEX]");
    process.exit(2);
  }
  const client = new SchemaRegistryClient({ baseURLs: [url] });
  try {
    console.log(await commands[command](client, topic, argument));
  } finally {
    await client.close();
  }
}

await main(process.argv.slice(2));
