// The stream of pictures, and how fresh the last one is: by this browser's own clock, counted from when a new
// picture came, so that neither a wrong clock nor a server that repeats itself makes old figures look fresh.

const STALE_S = 15;
const RETRY_MS = 2000;

/** Calls onHistory, onPicture as they come, and onFreshness({ age_s, state }) each second. */
export function listen({ onHistory, onPicture, onFreshness }) {
  const fresh = { taken_ms: null, at_ms: performance.now(), isOpen: false, isRefused: false };
  let source = null;

  function open() {
    source = new EventSource("/stream");
    source.addEventListener("open", () => { fresh.isOpen = true; });
    source.addEventListener("history", (event) => onHistory(JSON.parse(event.data)));
    source.addEventListener("picture", (event) => take(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      fresh.isOpen = false;
      tell();
      if (source.readyState === EventSource.CLOSED) { // it was refused, and would not try again by itself
        fresh.isRefused = true;
        setTimeout(open, RETRY_MS);
      }
    });
  }

  function take(shown) {
    fresh.isOpen = true;
    fresh.isRefused = false;
    if (shown.picture.taken_ms !== fresh.taken_ms) {
      fresh.taken_ms = shown.picture.taken_ms;
      fresh.at_ms = performance.now();
    }
    onPicture(shown);
    tell();
  }

  function tell() {
    const age_s = (performance.now() - fresh.at_ms) / 1000;
    onFreshness({ age_s, state: stateOf(fresh, age_s), isFirst: fresh.taken_ms === null });
  }

  open();
  tell();
  setInterval(tell, 1000);
}

function stateOf(fresh, age_s) {
  if (fresh.isRefused) return "refused";
  if (!fresh.isOpen) return "gone";
  return age_s > STALE_S ? "stale" : "live";
}
