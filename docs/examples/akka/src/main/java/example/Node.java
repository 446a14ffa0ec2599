package example;

import akka.actor.typed.ActorSystem;
import akka.actor.typed.javadsl.Behaviors;
import akka.cluster.MemberStatus;
import akka.cluster.typed.Cluster;
import akka.http.javadsl.Http;
import akka.http.javadsl.model.StatusCodes;
import akka.http.javadsl.server.AllDirectives;
import akka.http.javadsl.server.Route;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

/** A node of a cluster: its HTTP port is PORT, its cluster port PORT + 1000, its seeds are the first four instances. */
public final class Node extends AllDirectives {
  private static final int CLUSTER_OFFSET = 1000;
  private static final int SEEDS = 4;

  private final ActorSystem<Void> system;

  private Node(ActorSystem<Void> system) {
    this.system = system;
  }

  public static void main(String[] args) {
    int port = Integer.parseInt(System.getenv("PORT"));
    int first = Integer.parseInt(System.getenv().getOrDefault("PROCMAN_PORT_WEB", String.valueOf(port)));
    List<String> seeds = new ArrayList<>();
    for (int n = 0; n < SEEDS; n++) {
      seeds.add("akka://example@127.0.0.1:" + (first + n + CLUSTER_OFFSET));
    }
    Map<String, Object> settings = new HashMap<>();
    settings.put("akka.actor.provider", "cluster");
    settings.put("akka.remote.artery.canonical.hostname", "127.0.0.1");
    settings.put("akka.remote.artery.canonical.port", port + CLUSTER_OFFSET);
    settings.put("akka.cluster.seed-nodes", seeds);
    settings.put("akka.cluster.downing-provider-class", "akka.cluster.sbr.SplitBrainResolverProvider");
    settings.put("akka.cluster.split-brain-resolver.stable-after", "7s");
    settings.put("akka.coordinated-shutdown.exit-jvm", "on");
    settings.put("akka.coordinated-shutdown.phases.service-requests-done.timeout", "10s");
    Config config = ConfigFactory.parseMap(settings).withFallback(ConfigFactory.load());
    ActorSystem<Void> system = ActorSystem.create(Behaviors.empty(), "example", config);
    Http.get(system)
        .newServerAt("127.0.0.1", port)
        .bind(new Node(system).routes())
        .whenComplete(
            (binding, failure) -> {
              if (failure != null) {
                System.err.println("cannot listen on port " + port + ": " + failure.getMessage());
                system.terminate();
              } else {
                binding.addToCoordinatedShutdown(Duration.ofSeconds(10), system);
                System.out.println("listening on " + port);
              }
            });
  }

  private Route routes() {
    return concat(
        path("health", () -> isUp() ? complete("Up\n") : complete(StatusCodes.SERVICE_UNAVAILABLE, "not Up\n")),
        path("members", () -> complete(members() + "\n")),
        path("slow", () -> parameter("ms", ms -> onSuccess(later(Long.parseLong(ms)), answer -> complete(answer)))));
  }

  private boolean isUp() {
    return Cluster.get(system).selfMember().status() == MemberStatus.up();
  }

  /** How many members are Up, as this node sees it. */
  private long members() {
    long[] up = {0};
    Cluster.get(system).state().getMembers().forEach(member -> up[0] += member.status() == MemberStatus.up() ? 1 : 0);
    return up[0];
  }

  private static CompletableFuture<String> later(long milliseconds) {
    Executor after = CompletableFuture.delayedExecutor(milliseconds, TimeUnit.MILLISECONDS);
    return CompletableFuture.supplyAsync(() -> "slept\n", after);
  }
}
