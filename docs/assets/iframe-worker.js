// Browsers start no worker from a page on file://. The search of the site needs one: here its script runs in a hidden
// frame instead, which is told and tells by messages as a worker is. Over http the browser's own worker is used.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<script>postMessage = (data) => parent.postMessage(data, "*")<\/script>
        <script src="${new URL(url, location.href)}"><\/script>`;
      this.frame.onload = () => {
        this.ready = true;
        this.waiting.splice(0).forEach((data) => this.postMessage(data));
      };
      addEventListener("message", ({ source, data }) => {
        if (source === this.frame.contentWindow) this.dispatchEvent(new MessageEvent("message", { data }));
      });
      const begin = () => document.body.append(this.frame);
      document.body ? begin() : addEventListener("DOMContentLoaded", begin);
    }
    postMessage(data) {
      // As an event: the frame's own `postMessage` speaks to this page.
      if (this.ready) this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
      else this.waiting.push(data);
    }
  };
}
