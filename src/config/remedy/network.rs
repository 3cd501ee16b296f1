//! What stands between two ends: the network, the host, limits; and a tunnel that is up and carries nothing.
use super::table::{Entry, near, own, peer, run, us};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "net.no_response",
        text: ["{peer} did not answer.", "{peer} 没有应答。"],
        advice: &[
            us("{connection}/remote_addrs", [
                "Check {connection}.remote_addrs, and that UDP 500 and 4500 pass in both directions here (firewalls, security groups).",
                "检查 {connection}.remote_addrs，并确认本端双向放行 UDP 500 和 4500（防火墙、安全组）。",
            ]),
            peer("", [
                "See whether the peer runs, knows our address, and lets UDP 500 and 4500 in.",
                "检查对端是否在运行、是否配置了本端的地址，以及是否放行 UDP 500 和 4500。",
            ]),
        ],
        names: [own("NoResponse"), own("peer no response")],
    },
    Entry {
        code: "net.filtered",
        text: [
            "Some packets of {peer} arrive and others do not: a filter is in the way.",
            "{peer} 的报文部分到达、部分丢失：中间有过滤设备。",
        ],
        advice: &[
            us("", [
                "Let UDP 500, UDP 4500 and IP protocol 50 pass in both directions, fragments too.",
                "双向放行 UDP 500、UDP 4500 和 IP 协议 50（ESP），包括分片。",
            ]),
            peer("", ["The same at the peer's side.", "对端一侧也同样检查。"]),
        ],
        names: [near("NoResponse"), own("peer no response")],
    },
    Entry {
        code: "net.fragments",
        text: [
            "Large packets do not arrive: IP fragments are dropped on the way, and short messages pass.",
            "大报文无法到达：途中的设备丢弃了 IP 分片，而小报文可以通过。",
        ],
        advice: &[
            us("{connection}/fragmentation", [
                "Let IKE cut its messages itself: {connection}.fragmentation = true; the peer has to have it on, too.",
                "启用 IKE 分片：{connection}.fragmentation = true；对端也需要启用。",
            ]).to("true"),
            us("", ["Or let IP fragments pass the firewalls on the way.", "或者让途中的防火墙放行 IP 分片。"]),
        ],
        names: [near("Phase1NegotiationTimeout"), own("peer no response")],
    },
    Entry {
        code: "net.esp_blocked",
        text: [
            "IKE passes and ESP (IP protocol 50) does not: nothing of the peer's arrives on a tunnel that is up.",
            "IKE 正常而 ESP（IP 协议 50）不通：隧道已建立，但收不到对端的任何报文。",
        ],
        advice: &[
            us("{connection}/encap", [
                "Put ESP into UDP 4500: {connection}.encap = \"always\".",
                "让 ESP 走 UDP 4500：{connection}.encap = \"always\"。",
            ]).to("\"always\""),
            us("", [
                "Or let IP protocol 50 pass in both directions; cloud security groups name it ESP or 50.",
                "或者双向放行 IP 协议 50；云安全组中写作 ESP 或 50。",
            ]),
        ],
        names: [near("NoExceptionFound"), near("DPD timeout")],
    },
    Entry {
        code: "net.natt_blocked",
        text: [
            "UDP 500 passes and UDP 4500 does not: behind a NAT nothing more can be said after the first exchange.",
            "UDP 500 通而 UDP 4500 不通：存在 NAT 时，第一次交换之后就无法继续。",
        ],
        advice: &[
            us("", [
                "Let UDP 4500 pass in both directions here.",
                "在本端双向放行 UDP 4500。",
            ]),
            peer("", ["And at the peer.", "对端也同样放行。"]),
        ],
        names: [near("NatTMismatch"), own("peer no response")],
    },
    Entry {
        code: "net.blacklisted",
        text: [
            "{peer} answered before and does not any more: it may keep those away who ask too often.",
            "{peer} 之前有应答，现在不再应答：它可能屏蔽了请求过于频繁的一方。",
        ],
        advice: &[
            peer("", [
                "Take our address off the peer's list, or wait until it forgets it.",
                "在对端把本端地址移出黑名单，或等待其自动解除。",
            ]),
            run("sandhog down {name}", [
                "Until then do not call it: each attempt may make it longer.",
                "在此之前不要再发起连接：每次尝试都可能延长屏蔽时间。",
            ]),
        ],
        names: [near("NoResponse"), own("peer no response")],
    },
    Entry {
        code: "net.nat",
        text: [
            "There is a NAT between us and {peer}, and what is behind it does not get through.",
            "本端与 {peer} 之间存在 NAT，其后的流量无法通过。",
        ],
        advice: &[
            us("{connection}/encap", [
                "Put ESP into UDP 4500: {connection}.encap = \"always\".",
                "让 ESP 走 UDP 4500：{connection}.encap = \"always\"。",
            ]).to("\"always\""),
            peer("", ["Let UDP 4500 pass, and switch NAT traversal on at the peer.", "放行 UDP 4500，并在对端启用 NAT 穿越。"]),
        ],
        names: [own("NatTMismatch"), near("peer no response")],
    },
    Entry {
        code: "net.no_address",
        text: [
            "The peer's name has no address, or none that this host can reach.",
            "对端的域名解析不到地址，或解析到的地址本机无法到达。",
        ],
        advice: &[us("{connection}/remote_addrs", [
            "Check the name in {connection}.remote_addrs, the resolver of this host, and its routes.",
            "检查 {connection}.remote_addrs 中的域名、本机的 DNS 设置和路由。",
        ])],
        names: [near("NoResponse"), near("peer no response")],
    },
    Entry {
        code: "net.own_address",
        text: [
            "What is configured as the peer's address, or what its name leads to, is this host itself.",
            "配置的对端地址（或其域名解析的地址）就是本机自己。",
        ],
        advice: &[us("{connection}/remote_addrs", [
            "Correct {connection}.remote_addrs, or the name's address: we do not speak with ourselves.",
            "修正 {connection}.remote_addrs 或该域名的解析：网关不会与自己建立连接。",
        ])],
        names: [near("PeerMismatch"), near("peer no response")],
    },
    Entry {
        code: "net.no_route",
        text: [
            "No address of ours can be used: this host has none that is configured, or no way from there to the peer.",
            "本端没有可用的地址：本机没有所配置的地址，或从该地址无法到达对端。",
        ],
        advice: &[
            us("{connection}/local_addrs", [
                "Check {connection}.local_addrs against `ip address`.",
                "用 `ip address` 核对 {connection}.local_addrs。",
            ]),
            run("ip route get {address}", ["See whether there is a route to the peer.", "检查到对端的路由是否存在。"]),
        ],
        names: [near("NoResponse"), near("peer no response")],
    },
    Entry {
        code: "dpd.no_response",
        text: ["{peer} was there and no longer answers.", "{peer} 曾经在线，现在不再应答（DPD 超时）。"],
        advice: &[
            peer("", [
                "See whether the peer restarted or lost its network.",
                "检查对端是否重启或断网。",
            ]),
            us("{child}/dpd_action", [
                "{child}.dpd_action says what we do about it: \"restart\" tries again at once.",
                "{child}.dpd_action 决定本端的处理方式：\"restart\" 会立即重新建立。",
            ]).to("\"restart\""),
        ],
        names: [own("DpdTimeout"), near("DPD timeout")],
    },
    Entry {
        code: "mobike.refused",
        text: ["{peer} does not follow us to our new address.", "{peer} 不接受本端切换到新的地址（MOBIKE）。"],
        advice: &[
            peer("", ["Let the peer allow MOBIKE from any address.", "在对端允许来自任意地址的 MOBIKE。"]),
            run("sandhog down {name} && sandhog up {name}", [
                "Or make the connection anew from the new address.",
                "或者用新的地址重新建立连接。",
            ]),
        ],
        names: [near("NegotiationFailed"), near("peer no response")],
    },
    Entry {
        code: "mobike.nat",
        text: [
            "Somebody changes our addresses on the way to {peer}, which does not speak of NAT at all.",
            "途中有设备改写了本端的地址，而 {peer} 完全没有进行 NAT 探测。",
        ],
        advice: &[
            us("{connection}/mobike", [
                "Look for a NAT between the two; with {connection}.mobike = false nobody minds it.",
                "查找两端之间的 NAT；设置 {connection}.mobike = false，则不再检查途中的地址变化。",
            ]).to("false"),
        ],
        names: [near("NatTMismatch"), near("peer no response")],
    },
    Entry {
        code: "mobike.cookie",
        text: [
            "{peer} could not show that it is where it says: the IKE SA was closed.",
            "{peer} 无法证明自己确实在所声称的地址上，IKE SA 已关闭。",
        ],
        advice: &[peer("", ["If this is no attack, look for an update of the peer.", "如果不是攻击，请检查对端是否有软件更新。"])],
        names: [near("NegotiationFailed"), near("peer no response")],
    },
    Entry {
        code: "address.none_left",
        text: [
            "All addresses of the pools are in use, or none is of the family that the peer asks for.",
            "地址池已用尽，或没有对端所请求的地址族（IPv4/IPv6）的地址。",
        ],
        advice: &[us("{connection}/pools", [
            "Enlarge the pools that {connection}.pools names, or add one of that family.",
            "扩大 {connection}.pools 所引用的地址池，或增加该地址族的地址池。",
        ])],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "address.not_asked",
        text: [
            "The peer has to take an address from a pool, and has not asked for one.",
            "对端必须从地址池获取地址，但没有提出请求。",
        ],
        advice: &[
            peer("", [
                "Let the peer ask for a virtual address (strongSwan: vips = 0.0.0.0).",
                "让对端请求虚拟地址（strongSwan：vips = 0.0.0.0）。",
            ]),
            us("{connection}/pools", ["Or remove {connection}.pools.", "或者删除 {connection}.pools。"]).to("[]"),
        ],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "address.refused",
        text: ["The peer has no virtual address for us.", "对端没有可分配给本端的虚拟地址。"],
        advice: &[
            peer("", ["Look at the peer's pools.", "检查对端的地址池。"]),
            us("{connection}/vips", [
                "See whether {connection}.vips asks for the right families; where the peer gives none, remove it.",
                "检查 {connection}.vips 请求的地址族是否正确；如果对端不分配地址，请删除该项。",
            ]).to("[]"),
        ],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "limit.peer",
        text: ["The peer has no room for another SA.", "对端已无法再建立更多的 SA。"],
        advice: &[peer("", [
            "Take down what is not needed, or raise the peer's limits.",
            "断开不需要的隧道，或提高对端的上限。",
        ])],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "limit.connections",
        text: ["This gateway has as many connections as it may have.", "本网关的连接数已达到上限。"],
        advice: &[us("/gateway/limits/connections", [
            "Raise [gateway] limits.connections, if that many are meant to be.",
            "如果确实需要这么多连接，请提高 [gateway] limits.connections。",
        ])],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "limit.per_identity",
        text: ["This identity has as many connections as it may have.", "该身份标识的连接数已达到上限。"],
        advice: &[us("/gateway/limits/per_identity", [
            "Raise [gateway] limits.per_identity, if that many are meant to be.",
            "如果确实需要这么多，请提高 [gateway] limits.per_identity。",
        ])],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "limit.auth_failures",
        text: [
            "Many have failed to authenticate with this identity lately.",
            "最近使用该身份标识的认证失败次数过多。",
        ],
        advice: &[us("{connection}/remote_addrs", [
            "Wait a minute; if it goes on, somebody tries secrets: make them long, or name the peer's address in {connection}.remote_addrs.",
            "请等待一分钟；如果持续出现，说明有人在猜测密钥：请使用足够长的密钥，或在 {connection}.remote_addrs 中写明对端地址。",
        ])],
        names: [near("PskMismatch"), near("no matching secret")],
    },
    Entry {
        code: "limit.compute_queue",
        text: [
            "Too many key exchanges wait for a processor; it is tried again.",
            "等待处理器的密钥交换过多，稍后会自动重试。",
        ],
        advice: &[us("/gateway/limits/compute_queue", [
            "Raise [gateway] limits.compute_queue, if that many are meant to be.",
            "如果确实需要这么多，请提高 [gateway] limits.compute_queue。",
        ])],
        names: [near("Phase1NegotiationTimeout"), near("peer no response")],
    },
    Entry {
        code: "limit.spis",
        text: ["This gateway has no number left for another SA.", "本网关已没有可用的 SPI 来建立更多的 SA。"],
        advice: &[run("sandhog status", [
            "Take down what is not needed; this lists it.",
            "断开不需要的隧道；该命令可列出全部连接。",
        ])],
        names: [near("NegotiationFailed"), near("negotiation failed")],
    },
    Entry {
        code: "lifetime.peer_shorter",
        text: [
            "The peer rekeys earlier than we do: its lifetime is shorter. Nothing is broken.",
            "对端比本端更早更新密钥：对端的生存周期更短。这不影响使用。",
        ],
        advice: &[
            us("{child}/rekey_time", [
                "Set {child}.rekey_time a little below the peer's lifetime to be first.",
                "把 {child}.rekey_time 设为略小于对端生存周期的值，由本端先行更新。",
            ]),
        ],
        names: [own("LifetimeMismatch"), near("no log")],
    },
    Entry {
        code: "replay.window",
        text: [
            "Packets arrive too late for the replay window and are dropped.",
            "报文乱序到达，超出抗重放窗口而被丢弃。",
        ],
        advice: &[
            us("{child}/replay_window", [
                "Raise {child}.replay_window; look for what reorders packets on the way.",
                "增大 {child}.replay_window，并查找途中造成乱序的设备。",
            ]).to("16384"),
        ],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "mtu.exceeded",
        text: [
            "Large packets do not get through: they are too large for the way to the peer. Small ones pass.",
            "大报文无法通过：超过了到对端路径的 MTU，而小报文正常。",
        ],
        advice: &[
            us("{child}/mtu", [
                "Set {child}.mtu lower, to 1360 for example; the MSS follows it.",
                "减小 {child}.mtu，例如 1360；TCP MSS 会随之调整。",
            ]).to("1360"),
            us("{child}/outer_fragments", [
                "And let ICMP \"fragmentation needed\" pass on the way, so that the size can be found out.",
                "同时让途中的设备放行 ICMP“需要分片”报文，以便自动探测路径 MTU。",
            ]),
        ],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "mtu.black_hole",
        text: [
            "Large packets are sent again and again and small ones pass: somewhere on the way what is too large is dropped, and nobody tells.",
            "大报文反复重传而小报文正常：途中某处丢弃了过大的报文，且没有任何通知（MTU 黑洞）。",
        ],
        advice: &[
            us("{child}/mtu", [
                "Set {child}.mtu lower, to 1360 for example; the MSS follows it.",
                "减小 {child}.mtu，例如 1360；TCP MSS 会随之调整。",
            ]).to("1360"),
            peer("", [
                "And let ICMP \"fragmentation needed\" and \"packet too big\" pass on both sides, so that hosts hear of it.",
                "同时在两侧放行 ICMP“需要分片”和“报文过大”，使主机能够得知。",
            ]),
        ],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "esp.keys",
        text: [
            "No packet of the peer can be verified: the two ends do not have the same keys.",
            "对端的报文全部校验失败：两端的密钥不一致。",
        ],
        advice: &[
            run("sandhog rekey {target}", ["Make new keys.", "重新生成密钥。"]),
            us("{child}/esp_proposals", [
                "If it stays, leave one suite in {child}.esp_proposals and look for an update of the peer.",
                "如果仍然如此，请在 {child}.esp_proposals 中只保留一组算法，并检查对端是否有软件更新。",
            ]),
        ],
        names: [near("AlgorithmCompatibility"), near("no log")],
    },
    Entry {
        code: "esp.truncation",
        text: [
            "The peer cuts SHA2-256 to 96 bits, as old software did, instead of 128.",
            "对端把 SHA2-256 截断为 96 位（旧软件的做法），而标准是 128 位。",
        ],
        advice: &[
            peer("esp_proposals", [
                "Switch the peer to 128 bits (strongSwan: sha256_96 = no), or to another algorithm.",
                "在对端改用 128 位截断（strongSwan：sha256_96 = no），或改用其他算法。",
            ]),
            us("{child}/esp_proposals", [
                "Or use AES-GCM at both ends, which has no such trap: {child}.esp_proposals.",
                "或者两端都改用没有此问题的 AES-GCM：{child}.esp_proposals。",
            ]),
        ],
        names: [near("AlgorithmCompatibility"), near("no log")],
    },
    Entry {
        code: "traffic.not_passing",
        text: [
            "The tunnel to {peer} is up, but nothing passes through it: the probes of its monitor are not answered.",
            "到 {peer} 的隧道已建立，但流量不通：监控探测没有得到应答。",
        ],
        advice: &[
            us("{child}/monitor", [
                "See whether ESP (UDP 4500 or IP protocol 50) passes in both directions, and whether the monitor's target answers pings.",
                "检查 ESP（UDP 4500 或 IP 协议 50）是否双向可通，以及监控目标是否应答 ping。",
            ]),
            peer("", [
                "Look at routes and firewalls behind the peer: the target has to send its answers back to it.",
                "检查对端内网的路由和防火墙：目标主机的应答必须能回到对端网关。",
            ]),
        ],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "traffic.forwarding",
        text: [
            "This host does not forward packets: what comes out of the tunnel ends here.",
            "本机没有开启 IP 转发：从隧道出来的报文到此为止。",
        ],
        advice: &[run("sysctl -w net.ipv4.ip_forward=1", [
            "Switch forwarding on, and write it into /etc/sysctl.d, so that it stays.",
            "开启转发，并写入 /etc/sysctl.d 使其永久生效。",
        ])],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "traffic.rp_filter",
        text: [
            "The kernel drops what comes out of the tunnel, because it would send the answer another way (rp_filter).",
            "内核因反向路径检查（rp_filter）丢弃了从隧道出来的报文。",
        ],
        advice: &[run("sysctl -w net.ipv4.conf.all.rp_filter=2", [
            "Let it check loosely, and write that into /etc/sysctl.d, so that it stays.",
            "改为宽松检查，并写入 /etc/sysctl.d 使其永久生效。",
        ])],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "traffic.firewall",
        text: [
            "A firewall rule of this host drops packets of the tunnel.",
            "本机的防火墙规则丢弃了隧道的报文。",
        ],
        advice: &[run("nft list ruleset", [
            "Let the networks of both ends pass in the chain forward (and input), in both directions.",
            "在 forward（和 input）链中双向放行两端的网段。",
        ])],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "traffic.route",
        text: [
            "Packets for the peer's networks do not come to the tunnel: another route takes them.",
            "去往对端网段的报文没有进入隧道：被其他路由带走了。",
        ],
        advice: &[run("ip route get {inside}", [
            "See which way they go, and remove that route or make it less specific.",
            "查看实际走向，删除该路由，或改用更短的前缀，使其不再优先于隧道的路由。",
        ])],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "traffic.masquerade",
        text: [
            "A NAT rule of this host changes the source of packets before they come to the tunnel, so that they no longer belong to it.",
            "本机的 NAT（MASQUERADE/SNAT）规则在报文进入隧道前改写了源地址，报文因此不再匹配隧道。",
        ],
        advice: &[run("nft list chain ip nat POSTROUTING", [
            "Except the peer's networks from that rule: ip daddr REMOTE accept, in front of it.",
            "在该规则之前排除对端网段：ip daddr 对端网段 accept。",
        ])],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "traffic.selectors",
        text: [
            "Packets come that are not within the networks that were agreed on, and are dropped.",
            "收到的报文不在协商的网段之内，已被丢弃。",
        ],
        advice: &[
            us("{child}", [
                "Add their networks to {child}.local_ts or remote_ts, at both ends.",
                "在两端把这些网段加入 {child}.local_ts 或 remote_ts。",
            ]),
            peer("remote_ts", ["Or do not send them into the tunnel at the peer.", "或者在对端不要把这些流量送入隧道。"]),
        ],
        names: [near("TrafficSelectorMismatch"), near("no log")],
    },
    Entry {
        code: "traffic.no_answer",
        text: [
            "Packets of the peer's come out of the tunnel and reach the hosts here, and those do not answer.",
            "对端的报文已从隧道出来并送达本端主机，但主机没有应答。",
        ],
        advice: &[
            us("", [
                "See at the host that is asked whether it runs, what its own firewall says, and whether its way back to the peer's networks leads over this gateway.",
                "检查被访问的主机是否在运行、其自身防火墙规则，以及它到对端网段的回程路由是否指向本网关。",
            ]),
        ],
        names: [near("NoExceptionFound"), near("no log")],
    },
    Entry {
        code: "traffic.one_way",
        text: [
            "Packets leave through the tunnel and none come back.",
            "报文能从隧道发出，但没有任何回程报文。",
        ],
        advice: &[
            peer("", [
                "See at the peer whether it receives them, whether it routes our networks into the tunnel, and what its firewalls do.",
                "检查对端是否收到报文、是否把本端网段路由到隧道，以及其防火墙规则。",
            ]),
            us("", [
                "See whether ESP (UDP 4500 or IP protocol 50) may come in here.",
                "检查本端是否允许 ESP（UDP 4500 或 IP 协议 50）进入。",
            ]),
        ],
        names: [near("NoExceptionFound"), near("no log")],
    },
];
