// Reads every level of an OME-Zarr image over HTTP with clients that nobody here wrote, and prints what they got.
// node read.mjs '{"url": …, "paths": [path of an array below url, …], "clients": [name, …]}'
// Printed is JSON: of each client the shape of every level and the sha256 of its pixels, C order; or what went wrong.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";

const { url, paths, clients } = JSON.parse(process.argv[2]);

// A client's own zarrita: arrays of one copy of it are strangers to another.
async function zarritaOf(name) {
  const own = new URL(`./node_modules/${name}/node_modules/zarrita/dist/src/index.js`, import.meta.url);
  return existsSync(own) ? import(own) : import("zarrita");
}

const digest = (data) => createHash("sha256").update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).digest("hex");
const level = ({ shape, data }) => ({ shape, digest: digest(data) });

async function withZarrita() {
  const zarr = await import("zarrita");
  const root = zarr.root(new zarr.FetchStore(url));
  const levels = [];
  for (const path of paths) levels.push(level(await zarr.get(await zarr.open(root.resolve(path), { kind: "array" }))));
  return { levels };
}

async function withOmeZarrJs() {
  const { NgffImage } = await import("ome-zarr.js");
  const zarr = await zarritaOf("ome-zarr.js");
  const image = await NgffImage.load(url);
  const levels = [];
  for (const path of paths) levels.push(level(await zarr.get(await image.openArray(path))));
  const { data, width, height } = await image.renderRgba({ arrayPathOrIndex: 0 });
  return { levels, picture: { width, height, rgba: Buffer.from(data).toString("base64") } };
}

async function withViv() {
  const { loadOmeZarr } = await import("@vivjs/loaders");
  const { data, metadata } = await loadOmeZarr(url, { type: "multiscales" });
  const levels = [];
  for (const source of data) {
    const leading = source.labels.slice(0, -2);
    const planes = [];
    const walk = async (selection, axis) => {
      if (axis === leading.length) {
        const { data: plane } = await source.getRaster({ selection });
        planes.push(Buffer.from(plane.buffer, plane.byteOffset, plane.byteLength));
        return;
      }
      for (let i = 0; i < source.shape[axis]; i++) await walk({ ...selection, [leading[axis]]: i }, axis + 1);
    };
    await walk({}, 0);
    levels.push({ shape: source.shape, digest: digest(Buffer.concat(planes)) });
  }
  return { levels, channels: (metadata.omero?.channels ?? []).map((channel) => channel.label) };
}

async function withFideus() {
  const { fromNgffZarr } = await import("@fideus-labs/ngff-zarr");
  const zarr = await zarritaOf("@fideus-labs/ngff-zarr");
  const multiscales = await fromNgffZarr(url, { validate: true });
  const levels = [];
  for (const image of multiscales.images) levels.push(level(await zarr.get(image.data)));
  return { levels };
}

const readers = { zarrita: withZarrita, "ome-zarr.js": withOmeZarrJs, viv: withViv, "ngff-zarr": withFideus };
const found = {};
for (const client of clients) {
  try {
    found[client] = await readers[client]();
  } catch (error) {
    found[client] = { error: `${error.stack ?? error}` };
  }
}
// Pools of workers would keep the program alive.
process.stdout.write(`${JSON.stringify(found)}\n`, () => process.exit(0));
