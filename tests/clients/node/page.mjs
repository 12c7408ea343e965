// A page that shows an OME-Zarr image and its labels with viv's layers, level by level as one zooms.
// show({url, layers: ["image" | "labels", …], target: [x, y], scale}): `scale` pixels of the first level a pixel of the screen.
import { Deck, OrthographicView } from "@deck.gl/core";
import { MultiscaleImageLayer } from "@vivjs/layers";
import { loadOmeZarr } from "@vivjs/loaders";

const looks = {
  image: { path: "", colors: [[255, 255, 255]], contrastLimits: [[0, 3000]], opacity: 1 },
  labels: { path: "/labels/cells", colors: [[255, 0, 0]], contrastLimits: [[0, 11]], opacity: 0.5 },
};

let deck;
window.show = async ({ url, layers, target, scale }) => {
  window.shown = "";
  deck?.finalize();
  const made = [];
  for (const name of layers) {
    const { path, ...look } = looks[name];
    const { data: loader } = await loadOmeZarr(`${url}${path}`, { type: "multiscales" });
    made.push(
      new MultiscaleImageLayer({
        id: name,
        loader,
        selections: [{}],
        channelsVisible: [true],
        excludeBackground: true, // else the coarsest level lies below all others, blurred
        pickable: false,
        ...look,
      }),
    );
  }
  deck = new Deck({
    parent: document.body,
    views: new OrthographicView({ id: "main" }),
    initialViewState: { target: [...target, 0], zoom: -Math.log2(scale) },
    useDevicePixels: false,
    layers: made,
    onError: (error) => (window.failed = `${error.stack ?? error}`),
    onAfterRender: () => {
      const all = deck?.layerManager?.getLayers() ?? [];
      if (all.length > made.length && all.every((layer) => layer.isLoaded)) window.shown = layers.join();
    },
  });
};
window.ready = true;
