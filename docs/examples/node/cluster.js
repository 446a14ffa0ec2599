// The same server in several processes that share one port. Without an end of its own the primary would leave its workers
// to finish alone; it tells them, and ends when the last one has.
"use strict";
const cluster = require("node:cluster");

if (cluster.isWorker) {
  require("./server.js");
} else {
  let ending = false;
  for (let number = 0; number < 2; number += 1) cluster.fork();
  cluster.on("exit", (worker, code, signal) => {
    if (!ending) {
      console.log(`worker ${worker.process.pid} ended (${signal || code}); another one takes its place`);
      cluster.fork();
    }
  });
  process.once("SIGTERM", () => {
    ending = true;
    for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGTERM");
    cluster.disconnect(() => process.exit(0));
  });
}
