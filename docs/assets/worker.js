// Browsers start no worker from a page on file://. The search of the site needs one: here its script runs in a hidden
// frame instead, which is told and tells by messages as a worker is. Over http the browser's own worker is used.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<script>
        var postMessage = (data) => parent.postMessage(data, "*");
        var importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done, failed) => {
          const script = document.createElement("script");
          Object.assign(script, { src: url, onload: done, onerror: failed });
          document.head.append(script);
        })), Promise.resolve());
      <\/script><script src="${new URL(url, location.href)}"><\/script>`;
      this.frame.onload = () => {
        for (const data of this.waiting.splice(0)) this.frame.contentWindow.postMessage(data, "*");
        this.ready = true;
      };
      addEventListener("message", (event) => {
        if (event.source !== this.frame.contentWindow) return;
        const told = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(told);
        this.onmessage?.(told);
      });
      const add = () => document.body.append(this.frame);
      document.body ? add() : addEventListener("DOMContentLoaded", add);
    }
    postMessage(data) {
      this.ready ? this.frame.contentWindow.postMessage(data, "*") : this.waiting.push(data);
    }
    terminate() {
      this.frame.remove();
    }
  };
}
