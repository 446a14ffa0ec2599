// The same server in several processes that share one port. The primary passes SIGTERM on and ends after its last worker:
// if it ended first, the workers would end with it, in the midst of their requests.
"use strict";
const cluster = require("node:cluster");

if (cluster.isWorker) {
  require("./server.js");
} else {
  let ending = false;
  for (let number = 0; number < 2; number += 1) cluster.fork();
  cluster.on("exit", (worker, code, signal) => {
    if (ending) {
      if (Object.keys(cluster.workers).length === 0) process.exit(0);
    } else {
      console.log(`worker ${worker.process.pid} ended (${signal || code}); another one takes its place`);
      cluster.fork();
    }
  });
  process.on("SIGTERM", () => {
    ending = true;
    for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGTERM");
  });
}
